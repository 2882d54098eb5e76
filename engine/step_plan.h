// What one step of the engine runs: the scheduler writes it, the model reads
// it.
#ifndef TLIN_ENGINE_STEP_PLAN_H_
#define TLIN_ENGINE_STEP_PLAN_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/sampling/sample_row.h"
#include "engine/sampling/sampling.h"
#include "engine/token.h"

namespace tlin {

// Tokens that join a sequence's generation window, as rows of this step: one
// row of a decoding sequence, several of a prompt or of a sequence to score.
struct WindowRows {
  enum class Logits {
    kNone,
    kSample,  // of the last row, for the next token alone to be chosen by
    kLast,    // of the last row
    kAll,     // of every row: scoring
  };

  SlotId slot = 0;
  // Borrowed until Run returns.
  // REQUIRES: 1 <= size, and the window has room for them.
  absl::Span<const TokenId> tokens;
  Logits logits = Logits::kNone;
  // All tokens before the window, borrowed like `tokens`. The model remembers
  // how many there are, not which: it reads them where the keys of its history
  // are not stored.
  absl::Span<const TokenId> history = {};
};

// Work of a sync in units (ModelRunner), by what takes a time of its own for
// each: matrix products and attention.
struct SyncWork {
  int64_t products = 0;
  int64_t attention = 0;

  int64_t total() const { return products + attention; }
  SyncWork& operator+=(const SyncWork& more) {
    products += more.products;
    attention += more.attention;
    return *this;
  }
  SyncWork& operator-=(const SyncWork& less) {
    products -= less.products;
    attention -= less.attention;
    return *this;
  }
  friend bool operator==(const SyncWork&, const SyncWork&) = default;
};

// What a unit costs.
struct SyncPrices {
  double product = 1;
  double attention = 1;

  double CostOf(const SyncWork& work) const {
    return product * static_cast<double>(work.products) +
           attention * static_cast<double>(work.attention);
  }
};

// A bounded part of a sync that was begun in `slot`.
struct SyncSlice {
  SlotId slot = 0;
  // Of the work to do, by the plan's prices; at least one tile is done whatever
  // it is.
  int64_t cost = 0;
};

struct StepPlan {
  std::vector<WindowRows> decode;  // one token each, run as one batch
  std::vector<WindowRows> fill;    // each sequence's rows are run by themselves
  std::vector<SyncSlice> sync;
  SyncPrices sync_prices;
  // One for each part that wants a token chosen, in order: decode, then fill.
  std::vector<SampleRow> samples;

  bool empty() const { return decode.empty() && fill.empty() && sync.empty(); }
  void clear() {
    decode.clear();
    fill.clear();
    sync.clear();
    samples.clear();
  }
};

// Logits in host memory, owned by the model.
struct LogitRows {
  const float* data = nullptr;  // [rows, vocab_size]
  int32_t rows = 0;
  int32_t vocab_size = 0;

  absl::Span<const float> row(int32_t i) const {
    return absl::MakeConstSpan(data + int64_t{i} * vocab_size,
                               static_cast<size_t>(vocab_size));
  }
};

// What a step has made, valid until the model's next Run. In order: of
// `decode`, then of `fill`.
struct StepOutput {
  LogitRows logits;                       // of parts with kLast and kAll
  absl::Span<const SampledToken> tokens;  // one for each of the plan's samples
};

}  // namespace tlin

#endif  // TLIN_ENGINE_STEP_PLAN_H_
