// What a GPU takes at best for a model: by its data sheet and the closed forms
// of engine/model/traffic_model. Nothing is measured.
#ifndef TLIN_CLIENT_PLAN_DEVICE_H_
#define TLIN_CLIENT_PLAN_DEVICE_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "engine/backend/dtype.h"
#include "engine/model/config.h"
#include "nlohmann/json.hpp"

namespace tlin::client {

struct PlanDevice {
  const char* name = nullptr;
  double bytes_per_second = 0;       // of its memory
  double bf16_flops_per_second = 0;  // of its tensor cores, dense
  double f32_flops_per_second = 0;
  double memory_bytes = 0;
};

// Null: no such device.
const PlanDevice* FindPlanDevice(absl::string_view name);
std::string PlanDeviceNames();  // "a100, h100, ..."

struct PlanRequest {
  ModelConfig config;
  DType dtype = DType::kBF16;
  std::vector<int32_t> contexts;
  std::vector<int32_t> batches;
};

// For the model, and for a transformer of its width and depth whose cache is
// paged.
nlohmann::ordered_json DevicePlanJson(const PlanDevice& device,
                                      const PlanRequest& request);
void PrintDevicePlan(const PlanDevice& device, const PlanRequest& request,
                     std::ostream& out);

}  // namespace tlin::client

#endif  // TLIN_CLIENT_PLAN_DEVICE_H_
