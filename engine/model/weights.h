// A model's weights on a device. MODEL: "Tensors".
#ifndef TLIN_ENGINE_MODEL_WEIGHTS_H_
#define TLIN_ENGINE_MODEL_WEIGHTS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/backend/backend.h"
#include "engine/model/config.h"
#include "engine/model/tensor_map.h"

namespace tlin {

struct ModelWeights {
  std::unique_ptr<Linear> embedding;  // [vocab, D], also the output projection
  std::unique_ptr<Norm> norm;         // the final one
  // Block by block: compress, hidden …, restore. The transformer's in order.
  std::vector<LayerWeights> layers;
  // Of the configuration and all tensors as the file has them: 32 hex digits.
  std::string fingerprint;

  int64_t bytes() const;
};

using TensorVisitor = std::function<void(const HostTensor&)>;

struct TensorShape {
  std::string name;
  std::vector<int64_t> shape;
};

// What a checkpoint of this shape holds, in byte order of the names.
std::vector<TensorShape> ExpectedTensors(const ModelConfig& config);

// INVALID_ARGUMENT for missing, extra and misshapen tensors; the message names
// `file`, the tensor and what was expected. `lm_head` and `inv_freq` are
// ignored. Where it is OK, the file has data for every number of the config
// that sizes weights.
absl::Status CheckTensors(const ModelConfig& config, const TensorMap& tensors,
                          absl::string_view file);

// Errors as CheckTensors. `done` is called with tensors that are not needed any
// more, so that a file's pages can go as its weights come.
absl::StatusOr<ModelWeights> MakeWeights(const ModelConfig& config,
                                         const TensorMap& tensors,
                                         absl::string_view file,
                                         Backend* backend,
                                         const TensorVisitor& done = nullptr);

}  // namespace tlin

#endif  // TLIN_ENGINE_MODEL_WEIGHTS_H_
