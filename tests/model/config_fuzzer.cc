// Any bytes as config.json: a Status, or a configuration whose closed forms
// stay within their types.
#include <cstddef>
#include <cstdint>

#include "engine/base/check.h"
#include "engine/model/config.h"
#include "engine/model/cost_model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto config = tlin::ParseModelConfig(
      absl::string_view(reinterpret_cast<const char*>(data), size), "fuzzed");
  if (!config.ok()) {
    TLIN_CHECK(config.status().message().size() < 1000);
    return 0;
  }
  constexpr int64_t kContext = int64_t{1} << 31;
  TLIN_CHECK(config->head_size() >= 2 && config->head_size() % 2 == 0);
  TLIN_CHECK(config->ParameterCount() > 0);
  TLIN_CHECK(tlin::SlotBytes(*config, tlin::DType::kF32, kContext) >= 0);
  TLIN_CHECK(tlin::HistoryPageBytes(*config, tlin::DType::kF32) >= 0);
  TLIN_CHECK(tlin::SyncFlops(*config, kContext) >= 0);
  TLIN_CHECK(tlin::RowFlops(*config, kContext) > 0);
  return 0;
}
