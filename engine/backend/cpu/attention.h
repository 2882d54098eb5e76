// How attention is cut for the workers: by rows and by head; a single query by
// some heads, which are read together; and where a sequence with a long history
// is alone, by chunk of keys, too. The arithmetic is in attention_kernels, and
// does not depend on the cut.
#ifndef TLIN_ENGINE_BACKEND_CPU_ATTENTION_H_
#define TLIN_ENGINE_BACKEND_CPU_ATTENTION_H_

#include <array>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/backend/backend.h"
#include "engine/backend/cpu/aligned_buffer.h"
#include "engine/backend/cpu/attention_kernels.h"
#include "engine/backend/cpu/kv_layout.h"
#include "engine/backend/cpu/worker_pool.h"

namespace tlin {

// Engine thread only. Nothing allocates after Create.
class CpuAttention {
 public:
  // RESOURCE_EXHAUSTED without memory for the scratch of pool's workers. `gemm`
  // says by which instructions, and must be of the shape's format. It and
  // `pool` must outlive the object.
  static absl::StatusOr<CpuAttention> Create(const KvShape& shape,
                                             const GemmKernels& gemm,
                                             WorkerPool* pool);

  int64_t bytes() const { return scratch_.size(); }

  // As in Backend.
  void AttendWindow(Rows q, absl::Span<const WindowPart> parts, Rows out);
  void Attend(Rows q, const KvBlock& keys, Rows out);
  int64_t PartialBytes(int32_t rows) const;
  void ResetPartial(int32_t rows, std::byte* partial) const;
  void AccumulateAttention(Rows q, const KvBlock& keys, std::byte* partial);
  void FinishPartial(const std::byte* partial, bool add, Rows out);
  void LoadPartial(const PartialRing& ring, int32_t first_query, int32_t rows,
                   std::byte* partial) const;
  void StorePartial(const std::byte* partial, int32_t rows,
                    const PartialRing& ring, int32_t first_query) const;

 private:
  // A task's rows: some queries of one head, or one query's heads from `head`
  // on.
  struct Cut {
    const float* q;  // of the first query, all heads
    int32_t rows;
    int32_t head;
    bool heads;  // rows are heads
  };
  // The first query of some sees `first` keys, the next one `step` more, and so
  // on.
  struct Sight {
    int64_t first;
    int32_t step;
  };
  // Keys [row, row + kKeyChunk) of a block; the first query sees first_sees.
  struct Chunk {
    const KvBlock* block;
    int32_t row;
    int32_t first_sees;
    int32_t sees_step;
  };
  // A part of a window and its row that is the first query of a cut.
  struct PartRow {
    const WindowPart* part;
    int32_t row;
  };
  static constexpr int32_t kSlots = 64;    // chunks in flight
  static constexpr int32_t kSlotRows = 8;  // queries of a slot

  CpuAttention(const KvShape& shape, const GemmKernels& gemm, WorkerPool* pool);

  int64_t width() const { return int64_t{shape_.n_head} * shape_.head_size; }
  int64_t StateFloats(int32_t rows) const {
    return int64_t{rows} * (shape_.head_size + 2);
  }
  SoftmaxState StateAt(float* memory, int32_t rows) const;
  SoftmaxState SlotState(int32_t slot, const Cut& cut);
  SoftmaxState PartialState(std::byte* partial, int32_t rows,
                            int32_t head) const;
  float* Scratch(int worker);

  // Calls visit(chunk) for each chunk that `queries` queries see, in order.
  template <class Visit>
  static void ForEachChunk(absl::Span<const KvBlock> blocks, Sight sight,
                           int32_t queries, const Visit& visit);

  int32_t ChooseBlockRows(int64_t rows) const;
  // Into how many cuts the heads of one query go, of `queries` at a time.
  int32_t HeadCuts(int64_t queries) const;
  // Cut `index` of `cuts` of the heads of some queries. More than one query:
  // `cuts` is n_head.
  Cut CutHeads(const float* q, int32_t queries, int32_t cuts,
               int32_t index) const;
  int64_t RowStride(const Cut& cut) const {
    return cut.heads ? shape_.head_size : width();
  }
  void AttendOneChunk(const Cut& cut, const Chunk& chunk, float* scratch,
                      const SoftmaxState& state) const;
  void AttendBlocks(const Cut& cut, absl::Span<const KvBlock> blocks,
                    Sight sight, int worker, bool add, float* out);
  void AttendHistory(const Cut& cut, PartRow first, int worker, float* out);
  void AttendByChunks(const float* q, int32_t queries,
                      absl::Span<const KvBlock> blocks, Sight sight, bool add,
                      float* out);
  void AttendHistoryByChunks(const float* q, int32_t queries, PartRow first,
                             float* out);
  void ClearSlots(const float* q, int32_t queries, int32_t cuts);
  // Merges the blocks' chunks into the last slot.
  void MergeChunks(const float* q, int32_t queries, int32_t cuts,
                   absl::Span<const KvBlock> blocks, Sight sight);
  void WriteSlots(const float* q, int32_t queries, int32_t cuts, bool add,
                  float* out);
  // What the part's carry keeps of a cut's queries.
  void Carry(const Cut& cut, const SoftmaxState& state, PartRow first) const;
  void CopyState(const SoftmaxState& from, int32_t from_row,
                 const SoftmaxState& to, int32_t to_row) const;
  void FlushSlots(const float* q, int32_t queries, int32_t cuts, int32_t count);
  // out: of the first query, all heads.
  void WriteOut(const Cut& cut, const SoftmaxState& state, bool add,
                float* out) const;

  // Constant after construction.
  KvShape shape_;
  const GemmKernels* gemm_ = nullptr;
  const AttentionKernels* kernels_ = nullptr;
  float scale_ = 0;
  WorkerPool* pool_ = nullptr;

  std::array<Chunk, kSlots> slots_ = {};
  int64_t worker_floats_ = 0;
  AlignedBuffer scratch_;  // of each worker, then the slots' states
};

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_ATTENTION_H_
