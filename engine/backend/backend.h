// The device: coarse operations on non-owning views. The forward pass is
// written once over this interface (engine/model); the CPU backend is the
// oracle.
//
// Activations are f32; weights and caches have the backend's dtype; products
// are accumulated, and softmax and LayerNorm computed, in f32.
//
// Row independence: what an operation computes for a row depends on that row's
// own inputs alone, bit for bit: not on how many rows are in the call, on the
// other rows, or on the number of threads. Batch invariance rests on it.
#ifndef TLIN_ENGINE_BACKEND_BACKEND_H_
#define TLIN_ENGINE_BACKEND_BACKEND_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/backend/dtype.h"
#include "engine/backend/kv_block.h"
#include "engine/sampling/sample_row.h"
#include "engine/sampling/sampling.h"
#include "engine/token.h"

namespace tlin {

// A row-major matrix in host memory, as a weight file holds it. Vectors have
// one row. Borrowed for the time of the call that takes it.
struct HostMatrix {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
};

// Device memory, zeroed, aligned to 64 bytes, released with the object.
class DeviceBuffer {
 public:
  virtual ~DeviceBuffer() = default;
  virtual std::byte* data() = 0;
  virtual int64_t size() const = 0;  // bytes
};

// y = W x + b, with W packed as the backend likes it. Only the backend that
// made it can use it.
class Linear {
 public:
  virtual ~Linear() = default;
  virtual int64_t bytes() const = 0;  // of device memory
};

// LayerNorm's weight and bias.
class Norm {
 public:
  virtual ~Norm() = default;
  virtual int64_t bytes() const = 0;
};

// MODEL: "Pieces". Shapes are [out, in].
struct LayerWeights {
  std::unique_ptr<Norm> norm1;
  std::unique_ptr<Linear> q;    // [D, D]: the first third of qkv_proj
  std::unique_ptr<Linear> kv;   // [2D, D]: the other two thirds
  std::unique_ptr<Linear> out;  // [D, D]
  std::unique_ptr<Norm> norm2;
  std::unique_ptr<Linear> gate_up;  // [2F, D]: w1 above w3, no bias
  std::unique_ptr<Linear> down;     // [D, F]: w2, no bias
};

// Activations in device memory, contiguous: f32 [rows, n_embd].
struct Rows {
  float* data = nullptr;
  int32_t rows = 0;
};

// Partials of queries (PartialBytes(rows) of device memory) that are kept while
// more come: query p's is row p modulo `rows`.
struct PartialRing {
  std::byte* data = nullptr;
  int32_t rows = 0;
};

// The part of a step's rows that belongs to one sequence, for AttendWindow.
struct WindowPart {
  int32_t first_row = 0;  // in q and out
  int32_t rows = 0;
  // Keys of the generation window, this part's own rows included. Row i of the
  // part sees the first window_offset + i + 1 of them.
  absl::Span<const KvBlock> window;
  int32_t window_offset = 0;
  // Keys of the history; empty: the second softmax is absent.
  absl::Span<const KvBlock> history;
  // Where the partials over the first carried_blocks blocks of the history are
  // kept, if there are any: row i is query first_query + i. Of queries that
  // share a row of the ring the last one's stays.
  PartialRing carry = {};
  int32_t first_query = 0;
  int32_t carried_blocks = 0;
  // Its blocks come to be more with the context.
  bool grows = false;
};

struct BackendShape {
  int32_t n_embd = 0;
  int32_t n_head = 0;
  int32_t ffn_size = 0;
  int32_t vocab_size = 0;
  int32_t max_rows = 0;        // of any one call
  int32_t max_logit_rows = 0;  // of ComputeLogits and SampleTokens
  // Of histories and windows that grow, of all parts of one AttendWindow in
  // which each has one row. More, or more rows, take more time, no more memory.
  int64_t max_blocks = 0;
  // Calls of AttendWindow in one step, and those whose parts grow.
  int32_t layers = 0;
  int32_t growing_layers = 0;
};

// Engine thread only. Operations are enqueued in order; results are in place
// when Synchronize returns. Views must stay valid until then.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string name() const = 0;  // "cpu", "cuda:0"
  virtual DType dtype() const = 0;
  virtual const BackendShape& shape() const = 0;
  virtual int64_t workspace_bytes() const = 0;  // the backend's own scratch

  // --- Loading. RESOURCE_EXHAUSTED when the device has no room.
  virtual absl::StatusOr<std::unique_ptr<DeviceBuffer>> Allocate(
      int64_t bytes) = 0;
  // `bias` may have no data. `weight` may be split in up to two parts that are
  // stacked by rows (gate above up).
  virtual absl::StatusOr<std::unique_ptr<Linear>> MakeLinear(
      absl::Span<const HostMatrix> weight, const HostMatrix& bias) = 0;
  virtual absl::StatusOr<std::unique_ptr<Norm>> MakeNorm(
      const HostMatrix& weight, const HostMatrix& bias) = 0;

  // Whether what follows is in the background: it may run beside what is not,
  // at lower priority. REQUIRES: the memory of the two is apart between calls
  // of Synchronize.
  virtual void SetBackground(bool) {}

  // What follows until EndDecode is a decode step: operations on `rows` rows,
  // in parts of one row each, which end with SampleTokens of all of them. Every
  // such step has the same operations, on the same memory but for caches, so
  // that a backend may record it once and run it as a whole. REQUIRES: Rows
  // have memory for max_rows, or max_logit_rows if that is less.
  virtual void BeginDecode(int32_t, absl::Span<const SampleRow>) {}
  virtual void EndDecode() {}

  // --- Operations.
  // x[i] = row ids[i] of the embedding, which is `table`'s W.
  // REQUIRES: 0 <= ids[i] < vocab_size.
  virtual void Embed(const Linear& table, absl::Span<const TokenId> ids,
                     Rows x) = 0;

  // n = LayerNorm1(x); q = rotate(Wq n + bq), and rotated keys and values of
  // row i go to kv[i]. Positions are absolute, one a row.
  virtual void ProjectQkv(const LayerWeights& layer, Rows x,
                          absl::Span<const int32_t> positions, Rows q,
                          absl::Span<const KvRow> kv) = 0;
  virtual void ProjectQ(const LayerWeights& layer, Rows x,
                        absl::Span<const int32_t> positions, Rows q) = 0;
  virtual void ProjectKv(const LayerWeights& layer, Rows x,
                         absl::Span<const int32_t> positions,
                         absl::Span<const KvRow> kv) = 0;

  // What ProjectQkv makes of x before rotation: q, k and v, f32 [rows, 3D].
  virtual void ProjectUnrotated(const LayerWeights& layer, Rows x,
                                float* qkv) = 0;
  // What the Project operations make, from rows of ProjectUnrotated: row i is
  // table[ids[i]]. Without q.data, or with an empty kv, there are no such
  // results. The bits are those of a projection.
  virtual void LookUpQkv(const float* table, absl::Span<const TokenId> ids,
                         absl::Span<const int32_t> positions, Rows q,
                         absl::Span<const KvRow> kv) = 0;

  // x += Wo attended + bo; x += W2 (silu(W1 n) * (W3 n)), n = LayerNorm2(x).
  virtual void Finish(const LayerWeights& layer, Rows attended, Rows x) = 0;

  // The generation path: out = causal softmax over the window + softmax over
  // the history, two separate ones.
  virtual void AttendWindow(Rows q, absl::Span<const WindowPart> parts,
                            Rows out) = 0;

  // out = softmax(q k / sqrt(head size)) v, not causal, over all of `keys`.
  virtual void Attend(Rows q, const KvBlock& keys, Rows out) = 0;

  // Attention over keys that arrive block by block, by an online softmax. A
  // partial holds maximum, sum and weighted values of `rows` queries. Blocks
  // must come in the same order for the result to be the same bit for bit.
  virtual int64_t PartialBytes(int32_t rows) const = 0;
  virtual void ResetPartial(int32_t rows, std::byte* partial) = 0;
  virtual void AccumulateAttention(Rows q, const KvBlock& keys,
                                   std::byte* partial) = 0;
  // REQUIRES: at least one key was accumulated.
  virtual void FinishPartial(const std::byte* partial, Rows out) = 0;
  // The same, but out +=.
  virtual void AddPartial(const std::byte* partial, Rows out) = 0;
  // Queries [first_query, first_query + rows) of a ring to the rows of a
  // partial, and back. Of queries that share a row of the ring the last one's
  // stays.
  virtual void LoadPartial(const PartialRing& ring, int32_t first_query,
                           int32_t rows, std::byte* partial) = 0;
  virtual void StorePartial(const std::byte* partial, int32_t rows,
                            const PartialRing& ring, int32_t first_query) = 0;

  // logits[i] = table's W LayerNorm(x[row_indices[i]]), to host memory
  // [row_indices.size(), vocab_size], in place when Synchronize returns.
  virtual void ComputeLogits(const Norm& norm, const Linear& table, Rows x,
                             absl::Span<const int32_t> row_indices,
                             float* logits) = 0;

  // The tokens that follow rows of x: tokens[i] is chosen as samples[i] says
  // (engine/sampling/sampler.h) by the logits of x[row_indices[i]]. To host
  // memory, in place when Synchronize returns. Given the same logits every
  // backend chooses the same tokens.
  virtual void SampleTokens(const Norm& norm, const Linear& table, Rows x,
                            absl::Span<const int32_t> row_indices,
                            absl::Span<const SampleRow> samples,
                            SampledToken* tokens) = 0;

  // The filled rows of a block to host memory and back, KvRowsBytes of them:
  // keys [rows, n_embd], then values [rows, n_embd], in the backend's dtype.
  // The order is the same on every device, so that a state can move.
  virtual void ReadKv(const KvBlock& block, std::byte* host) = 0;
  virtual void WriteKv(const std::byte* host, const KvBlock& block) = 0;

  // Copies within device memory; the ranges do not overlap.
  virtual void Copy(const void* from, void* to, int64_t bytes) = 0;

  // Waits for all that was enqueued; the first error since the last call.
  virtual absl::Status Synchronize() = 0;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_BACKEND_H_
