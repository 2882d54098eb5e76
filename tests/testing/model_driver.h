// Drives a ModelRunner with one sequence the way the engine does.
#ifndef TLIN_TESTS_TESTING_MODEL_DRIVER_H_
#define TLIN_TESTS_TESTING_MODEL_DRIVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "engine/model/config.h"
#include "engine/model/model.h"
#include "engine/token.h"

namespace tlin {

// A model with seeded weights on the binary's device: cpu_model.cc or
// cuda_model.cc. Dies on failure.
std::unique_ptr<Model> MakeSeededModel(const ModelConfig& config, uint64_t seed,
                                       const ModelOptions& options,
                                       DType dtype = DType::kF32,
                                       int threads = 2);

// The same on any backend, made for MakeBackendShape(config, options).
std::unique_ptr<Model> MakeSeededModel(const ModelConfig& config, uint64_t seed,
                                       const ModelOptions& options,
                                       std::unique_ptr<Backend> backend);

// One sequence in one slot. The slot is closed with the object.
class SequenceDriver {
 public:
  SequenceDriver(ModelRunner* model, SlotId slot, int64_t max_tokens);
  ~SequenceDriver();

  // Cuts of the work, for tests that vary them.
  void set_fill_rows(int32_t rows) { fill_rows_ = rows; }
  void set_slice_units(int64_t units) { slice_units_ = units; }

  // Feeds tokens, syncing where a window is full; a prompt longer than a window
  // is one sync and one fill. Returns the logits after the last token.
  std::vector<float> Feed(absl::Span<const TokenId> tokens);
  // Feeds `tokens` from an empty sequence window by window and returns the
  // logits of every position.
  std::vector<std::vector<float>> Score(absl::Span<const TokenId> tokens);

  // The state in host memory, and a new sequence that goes on from it.
  std::vector<std::byte> Save();
  // REQUIRES: nothing was fed; `tokens` are those of `extent`.
  void Load(absl::Span<const TokenId> tokens, const StateExtent& extent,
            absl::Span<const std::byte> state);

  int64_t tokens() const { return static_cast<int64_t>(tokens_.size()); }
  // Those before the window.
  absl::Span<const TokenId> history() const;

 private:
  // Makes all of tokens_ so far history.
  void Sync();
  std::vector<std::vector<float>> Fill(absl::Span<const TokenId> tokens,
                                       WindowRows::Logits logits);

  ModelRunner* const model_;
  const SlotId slot_;
  int32_t fill_rows_;
  int64_t slice_units_ = int64_t{1} << 60;
  std::vector<TokenId> tokens_;
};

}  // namespace tlin

#endif  // TLIN_TESTS_TESTING_MODEL_DRIVER_H_
