#include "engine/model/weights.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/checksum.h"
#include "engine/base/status_macros.h"

namespace tlin {
namespace {

// "transformer.transformer_layers.0.hidden_layers.1.", in the order of the
// layers.
std::vector<std::string> LayerPrefixes(const ModelConfig& config) {
  const std::string base = "transformer.transformer_layers.";
  std::vector<std::string> prefixes;
  prefixes.reserve(config.n_layer + config.n_block * config.block_depth);
  for (int32_t i = 0; i < config.n_layer; ++i) {
    prefixes.push_back(absl::StrCat(base, i, "."));
  }
  for (int32_t block = 0; block < config.n_block; ++block) {
    const std::string of_block = absl::StrCat(base, block, ".");
    prefixes.push_back(absl::StrCat(of_block, "compress_context_layer."));
    for (int32_t i = 0; i < config.block_depth - 2; ++i) {
      prefixes.push_back(absl::StrCat(of_block, "hidden_layers.", i, "."));
    }
    prefixes.push_back(absl::StrCat(of_block, "restore_context_shape_layer."));
  }
  return prefixes;
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

bool IsIgnored(absl::string_view name) {
  return name == "transformer.lm_head.weight" ||
         absl::EndsWith(name, "rope.inv_freq");
}

void AddConfig(const ModelConfig& config, Fingerprint* fingerprint) {
  fingerprint->AddText(ArchitectureName(config.architecture));
  for (const int32_t number :
       {config.vocab_size, config.n_embd, config.n_head, config.n_block,
        config.block_depth, config.history_window, config.generation_window,
        config.n_layer}) {
    fingerprint->Add(&number, sizeof(number));
  }
}

// The tensors whose names begin so have become weights.
void FinishTensors(const TensorMap& tensors, const std::string& prefix,
                   const TensorVisitor& done, Fingerprint* fingerprint) {
  for (auto tensor = tensors.lower_bound(prefix);
       tensor != tensors.end() && absl::StartsWith(tensor->first, prefix);
       ++tensor) {
    if (!IsIgnored(tensor->first)) {
      const HostTensor& host = tensor->second;
      int64_t bytes = DTypeBytes(host.dtype);
      for (const int64_t size : host.shape) bytes *= size;
      fingerprint->AddText(tensor->first);
      fingerprint->AddText(DTypeName(host.dtype));
      fingerprint->Add(host.data, static_cast<size_t>(bytes));
    }
    if (done != nullptr) done(tensor->second);
  }
}

// Makes device weights from tensors whose names and shapes were checked.
class Builder {
 public:
  Builder(const TensorMap& tensors, Backend* backend)
      : tensors_(tensors), backend_(backend) {}

  HostMatrix Matrix(const std::string& name) const {
    const HostTensor& tensor = tensors_.at(name);
    const bool vector = tensor.shape.size() == 1;
    return {tensor.data, tensor.dtype, vector ? 1 : tensor.shape[0],
            tensor.shape.back()};
  }

  absl::StatusOr<std::unique_ptr<Linear>> MakeLinear(
      const HostMatrix& weight, const HostMatrix& bias = {}) const {
    return backend_->MakeLinear(absl::MakeConstSpan(&weight, 1), bias);
  }

  absl::StatusOr<std::unique_ptr<Norm>> MakeNorm(
      const std::string& prefix) const {
    return backend_->MakeNorm(Matrix(prefix + "weight"),
                              Matrix(prefix + "bias"));
  }

  absl::StatusOr<LayerWeights> MakeLayer(const std::string& prefix) const {
    LayerWeights layer;
    TLIN_ASSIGN_OR_RETURN(layer.norm1, MakeNorm(prefix + "norm1."));
    TLIN_ASSIGN_OR_RETURN(layer.norm2, MakeNorm(prefix + "norm2."));
    const HostMatrix qkv = Matrix(prefix + "qkv_proj.weight");
    const HostMatrix qkv_bias = Matrix(prefix + "qkv_proj.bias");
    const int64_t d = qkv.cols;
    TLIN_ASSIGN_OR_RETURN(
        layer.q, MakeLinear(RowsOf(qkv, 0, d), ColumnsOf(qkv_bias, 0, d)));
    TLIN_ASSIGN_OR_RETURN(layer.kv, MakeLinear(RowsOf(qkv, d, 2 * d),
                                               ColumnsOf(qkv_bias, d, 2 * d)));
    TLIN_ASSIGN_OR_RETURN(layer.out,
                          MakeLinear(Matrix(prefix + "out_proj.weight"),
                                     Matrix(prefix + "out_proj.bias")));
    const HostMatrix gate_up[] = {Matrix(prefix + "ffn.w1.weight"),
                                  Matrix(prefix + "ffn.w3.weight")};
    TLIN_ASSIGN_OR_RETURN(layer.gate_up, backend_->MakeLinear(gate_up, {}));
    TLIN_ASSIGN_OR_RETURN(layer.down,
                          MakeLinear(Matrix(prefix + "ffn.w2.weight")));
    return layer;
  }

 private:
  static HostMatrix RowsOf(const HostMatrix& matrix, int64_t first,
                           int64_t rows) {
    return {At(matrix, first * matrix.cols), matrix.dtype, rows, matrix.cols};
  }
  static HostMatrix ColumnsOf(const HostMatrix& vector, int64_t first,
                              int64_t columns) {
    return {At(vector, first), vector.dtype, 1, columns};
  }
  static const void* At(const HostMatrix& matrix, int64_t element) {
    return static_cast<const std::byte*>(matrix.data) +
           element * DTypeBytes(matrix.dtype);
  }

  const TensorMap& tensors_;
  Backend* const backend_;
};

}  // namespace

int64_t ModelWeights::bytes() const {
  int64_t total = embedding->bytes() + norm->bytes();
  for (const LayerWeights& layer : layers) {
    total += layer.norm1->bytes() + layer.q->bytes() + layer.kv->bytes() +
             layer.out->bytes() + layer.norm2->bytes() +
             layer.gate_up->bytes() + layer.down->bytes();
  }
  return total;
}

std::vector<TensorShape> ExpectedTensors(const ModelConfig& config) {
  const int64_t d = config.n_embd;
  const int64_t f = config.ffn_size();
  std::vector<TensorShape> tensors = {
      {"embedding.weight", {config.vocab_size, d}},
      {"transformer.norm.weight", {d}},
      {"transformer.norm.bias", {d}}};
  for (const std::string& prefix : LayerPrefixes(config)) {
    for (const char* vector : {"norm1.weight", "norm1.bias", "norm2.weight",
                               "norm2.bias", "out_proj.bias"}) {
      tensors.push_back({prefix + vector, {d}});
    }
    tensors.push_back({prefix + "qkv_proj.weight", {3 * d, d}});
    tensors.push_back({prefix + "qkv_proj.bias", {3 * d}});
    tensors.push_back({prefix + "out_proj.weight", {d, d}});
    tensors.push_back({prefix + "ffn.w1.weight", {f, d}});
    tensors.push_back({prefix + "ffn.w3.weight", {f, d}});
    tensors.push_back({prefix + "ffn.w2.weight", {d, f}});
  }
  std::sort(tensors.begin(), tensors.end(),
            [](const TensorShape& a, const TensorShape& b) {
              return a.name < b.name;
            });
  return tensors;
}

absl::Status CheckTensors(const ModelConfig& config, const TensorMap& tensors,
                          absl::string_view file) {
  const std::vector<TensorShape> expected = ExpectedTensors(config);
  for (const TensorShape& tensor : expected) {
    const auto found = tensors.find(tensor.name);
    if (found == tensors.end()) {
      return absl::InvalidArgumentError(
          absl::StrCat(file, ": tensor \"", tensor.name, "\" is missing: want ",
                       ShapeText(tensor.shape)));
    }
    if (found->second.shape != tensor.shape) {
      return absl::InvalidArgumentError(absl::StrCat(
          file, ": tensor \"", tensor.name, "\" has shape ",
          ShapeText(found->second.shape), ": want ", ShapeText(tensor.shape)));
    }
  }
  for (const auto& [name, tensor] : tensors) {
    const bool known = std::binary_search(
        expected.begin(), expected.end(), TensorShape{name, {}},
        [](const TensorShape& a, const TensorShape& b) {
          return a.name < b.name;
        });
    if (!known && !IsIgnored(name)) {
      return absl::InvalidArgumentError(absl::StrCat(
          file, ": tensor \"", name, "\" is none of this architecture's"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ModelWeights> MakeWeights(const ModelConfig& config,
                                         const TensorMap& tensors,
                                         absl::string_view file,
                                         Backend* backend,
                                         const TensorVisitor& done) {
  TLIN_RETURN_IF_ERROR(CheckTensors(config, tensors, file));
  const Builder builder(tensors, backend);
  ModelWeights weights;
  TLIN_ASSIGN_OR_RETURN(weights.embedding,
                        builder.MakeLinear(builder.Matrix("embedding.weight")));
  TLIN_ASSIGN_OR_RETURN(weights.norm, builder.MakeNorm("transformer.norm."));
  Fingerprint fingerprint;
  AddConfig(config, &fingerprint);
  FinishTensors(tensors, "embedding.", done, &fingerprint);
  FinishTensors(tensors, "transformer.norm.", done, &fingerprint);
  for (const std::string& prefix : LayerPrefixes(config)) {
    TLIN_ASSIGN_OR_RETURN(LayerWeights layer, builder.MakeLayer(prefix));
    weights.layers.push_back(std::move(layer));
    FinishTensors(tensors, prefix, done, &fingerprint);
  }
  weights.fingerprint = fingerprint.Hex();
  return weights;
}

}  // namespace tlin
