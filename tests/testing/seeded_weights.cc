#include "tests/testing/seeded_weights.h"

#include <cmath>

#include "absl/strings/match.h"
#include "engine/model/weights.h"

namespace tlin {
namespace {

class SplitMix64 {
 public:
  explicit SplitMix64(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    state_ += 0x9E3779B97F4A7C15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

uint64_t Fnv1a64(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  }
  return hash;
}

float Value(const TensorShape& tensor, float u) {
  const bool is_norm = absl::StrContains(tensor.name, ".norm");
  if (is_norm && absl::EndsWith(tensor.name, "weight")) return 1.0f + 0.1f * u;
  if (absl::EndsWith(tensor.name, "bias")) return 0.1f * u;
  if (tensor.name == "embedding.weight") return 0.5f * u;
  return u * static_cast<float>(
                 std::sqrt(3.0 / static_cast<double>(tensor.shape.back())));
}

}  // namespace

SeededWeights MakeSeededWeights(const ModelConfig& config, uint64_t seed) {
  SeededWeights weights;
  for (const TensorShape& tensor : ExpectedTensors(config)) {
    int64_t count = 1;
    for (const int64_t dimension : tensor.shape) count *= dimension;
    SplitMix64 stream(seed ^ Fnv1a64(tensor.name));
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) {
      const double u =
          2.0 * static_cast<double>(stream.Next() >> 40) / 16777216.0 - 1.0;
      value = Value(tensor, static_cast<float>(u));
    }
    // A vector's heap block stays where it is when the vector is moved.
    weights.tensors[tensor.name] = {DType::kF32, tensor.shape, values.data()};
    weights.values.push_back(std::move(values));
  }
  return weights;
}

std::vector<TokenId> SeededTokens(uint64_t seed, int64_t count,
                                  int32_t vocab_size) {
  SplitMix64 stream(seed);
  std::vector<TokenId> tokens(static_cast<size_t>(count));
  for (TokenId& token : tokens) {
    token = static_cast<TokenId>(stream.Next() % uint64_t(vocab_size));
  }
  return tokens;
}

}  // namespace tlin
