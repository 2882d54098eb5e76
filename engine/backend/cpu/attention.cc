#include "engine/backend/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/backend/cpu/row_ops.h"
#include "engine/base/status_macros.h"

namespace tlin {
namespace {

// Queries of a task: they read a chunk of keys from the core's own caches.
constexpr int32_t kMaxQueryRows = 64;
constexpr int32_t kMinQueryRows = 2 * kMaxQueryTile;
// A single sequence is cut by chunks of keys when it has at least so many.
constexpr int64_t kManyKeys = 8 * kKeyChunk;

constexpr int64_t kSeesAll = std::numeric_limits<int32_t>::max();

int32_t Blocks(int32_t rows, int32_t block_rows) {
  return (rows + block_rows - 1) / block_rows;
}

int64_t KeyCount(absl::Span<const KvBlock> blocks) {
  int64_t keys = 0;
  for (const KvBlock& block : blocks) keys += block.rows;
  return keys;
}

}  // namespace

CpuAttention::CpuAttention(const KvShape& shape, const GemmKernels& gemm,
                           WorkerPool* pool)
    : shape_(shape),
      gemm_(&gemm),
      kernels_(&AttentionFor(gemm)),
      scale_(1.0f / std::sqrt(static_cast<float>(shape.head_size))),
      pool_(pool) {}

absl::StatusOr<CpuAttention> CpuAttention::Create(const KvShape& shape,
                                                  const GemmKernels& gemm,
                                                  WorkerPool* pool) {
  CpuAttention attention(shape, gemm, pool);
  constexpr int64_t kLine = 16;  // floats
  const int64_t floats =
      AttentionScratch(shape.head_size) + attention.StateFloats(kMaxQueryRows);
  attention.worker_floats_ = (floats + kLine - 1) / kLine * kLine;
  const int64_t slot_floats =
      int64_t{kSlots + 1} * shape.n_head * attention.StateFloats(kSlotRows);
  TLIN_ASSIGN_OR_RETURN(
      attention.scratch_,
      AlignedBuffer::Allocate(
          (attention.worker_floats_ * pool->threads() + slot_floats) *
          static_cast<int64_t>(sizeof(float))));
  return attention;
}

SoftmaxState CpuAttention::StateAt(float* memory, int32_t rows) const {
  return {memory, memory + rows, memory + 2 * int64_t{rows}};
}

// A cut of many heads has one row for each, so that cuts do not meet.
SoftmaxState CpuAttention::SlotState(int32_t slot, const Cut& cut) {
  float* slots = Scratch(pool_->threads());
  return StateAt(slots + (int64_t{slot} * shape_.n_head + cut.head) *
                             StateFloats(kSlotRows),
                 cut.rows);
}

float* CpuAttention::Scratch(int worker) {
  return reinterpret_cast<float*>(scratch_.data()) + worker * worker_floats_;
}

template <class Visit>
void CpuAttention::ForEachChunk(absl::Span<const KvBlock> blocks, Sight sight,
                                int32_t queries, const Visit& visit) {
  int64_t before = 0;
  for (const KvBlock& block : blocks) {
    for (int32_t row = 0; row < block.rows; row += kKeyChunk) {
      const int64_t first = sight.first - (before + row);
      if (first + int64_t{sight.step} * (queries - 1) <= 0) return;
      // Beyond a chunk's end more keys make no difference.
      const int64_t sees = std::clamp<int64_t>(first, -kSeesAll, kKeyChunk);
      visit(Chunk{&block, row, static_cast<int32_t>(sees), sight.step});
    }
    before += block.rows;
  }
}

// Fewer rows a task where there would not be two tasks a thread.
int32_t CpuAttention::ChooseBlockRows(int64_t rows) const {
  int32_t block_rows = kMaxQueryRows;
  while (block_rows / 2 >= kMinQueryRows &&
         (rows + block_rows - 1) / block_rows * shape_.n_head <
             2 * pool_->threads()) {
    block_rows /= 2;
  }
  return block_rows;
}

int32_t CpuAttention::HeadCuts(int64_t queries) const {
  const int64_t least = (shape_.n_head + kMaxHeads - 1) / kMaxHeads;
  const int64_t wanted = (2 * pool_->threads() + queries - 1) / queries;
  return static_cast<int32_t>(
      std::clamp<int64_t>(wanted, least, shape_.n_head));
}

CpuAttention::Cut CpuAttention::CutHeads(const float* q, int32_t queries,
                                         int32_t cuts, int32_t index) const {
  const auto first = [&](int64_t cut) {
    return static_cast<int32_t>(cut * shape_.n_head / cuts);
  };
  const int32_t heads = first(index + 1) - first(index);
  return {q, queries == 1 ? heads : queries, first(index), queries == 1};
}

void CpuAttention::AttendOneChunk(const Cut& cut, const Chunk& chunk,
                                  float* scratch,
                                  const SoftmaxState& state) const {
  AttentionTask task;
  task.q = cut.q + int64_t{cut.head} * shape_.head_size;
  task.q_stride = RowStride(cut);
  task.rows = cut.rows;
  task.head_size = shape_.head_size;
  task.scale = scale_;
  task.keys = KeysOfHead(shape_, *chunk.block, cut.head, chunk.row);
  task.values = ValuesOfHead(shape_, *chunk.block, cut.head, chunk.row);
  task.tile_bytes = KvTileBytes(shape_);
  task.group_bytes = shape_.n_head * task.tile_bytes;
  task.key_count = std::min(kKeyChunk, chunk.block->rows - chunk.row);
  task.first_sees = chunk.first_sees;
  task.sees_step = chunk.sees_step;
  task.state = state;
  task.scratch = scratch;
  task.prepare = gemm_->prepare;
  (cut.heads ? kernels_->heads : kernels_->queries)(task);
}

void CpuAttention::WriteOut(const Cut& cut, const SoftmaxState& state, bool add,
                            float* out) const {
  const int32_t size = shape_.head_size;
  for (int32_t row = 0; row < cut.rows; ++row) {
    float* to = out + int64_t{cut.head} * size + row * RowStride(cut);
    if (state.sum[row] != 0.0f) {
      DivideRow(state.values + int64_t{row} * size, state.sum[row], size, add,
                to);
    } else if (!add) {  // no keys: an empty history adds nothing
      std::fill_n(to, size, 0.0f);
    }
  }
}

void CpuAttention::AttendBlocks(const Cut& cut,
                                absl::Span<const KvBlock> blocks, Sight sight,
                                int worker, bool add, float* out) {
  float* scratch = Scratch(worker);
  const SoftmaxState state =
      StateAt(scratch + AttentionScratch(shape_.head_size), cut.rows);
  ClearState(cut.rows, shape_.head_size, state);
  ForEachChunk(
      blocks, sight, cut.heads ? 1 : cut.rows,
      [&](const Chunk& chunk) { AttendOneChunk(cut, chunk, scratch, state); });
  WriteOut(cut, state, add, out);
}

void CpuAttention::FlushSlots(const float* q, int32_t queries, int32_t cuts,
                              int32_t count) {
  pool_->ParallelFor(int64_t{count} * cuts, [&](int64_t task, int worker) {
    const auto slot = static_cast<int32_t>(task / cuts);
    const Cut cut =
        CutHeads(q, queries, cuts, static_cast<int32_t>(task % cuts));
    const SoftmaxState state = SlotState(slot, cut);
    ClearState(cut.rows, shape_.head_size, state);
    AttendOneChunk(cut, slots_[slot], Scratch(worker), state);
  });
  for (int32_t index = 0; index < cuts; ++index) {
    const Cut cut = CutHeads(q, queries, cuts, index);
    for (int32_t slot = 0; slot < count; ++slot) {
      MergeState(SlotState(slot, cut), cut.rows, shape_.head_size, scale_,
                 SlotState(kSlots, cut));
    }
  }
}

void CpuAttention::AttendHistory(const Cut& cut, PartRow first, int worker,
                                 float* out) {
  float* scratch = Scratch(worker);
  const SoftmaxState state =
      StateAt(scratch + AttentionScratch(shape_.head_size), cut.rows);
  ClearState(cut.rows, shape_.head_size, state);
  const auto attend = [&](absl::Span<const KvBlock> blocks) {
    ForEachChunk(blocks, Sight{kSeesAll, 0}, cut.heads ? 1 : cut.rows,
                 [&](const Chunk& chunk) {
                   AttendOneChunk(cut, chunk, scratch, state);
                 });
  };
  const auto carried = static_cast<size_t>(first.part->carried_blocks);
  attend(first.part->history.first(carried));
  if (carried > 0) Carry(cut, state, first);
  attend(first.part->history.subspan(carried));
  WriteOut(cut, state, /*add=*/true, out);
}

void CpuAttention::ClearSlots(const float* q, int32_t queries, int32_t cuts) {
  for (int32_t index = 0; index < cuts; ++index) {
    const Cut cut = CutHeads(q, queries, cuts, index);
    ClearState(cut.rows, shape_.head_size, SlotState(kSlots, cut));
  }
}

void CpuAttention::MergeChunks(const float* q, int32_t queries, int32_t cuts,
                               absl::Span<const KvBlock> blocks, Sight sight) {
  int32_t count = 0;
  ForEachChunk(blocks, sight, queries, [&](const Chunk& chunk) {
    slots_[count++] = chunk;
    if (count == kSlots) {
      FlushSlots(q, queries, cuts, count);
      count = 0;
    }
  });
  FlushSlots(q, queries, cuts, count);
}

void CpuAttention::WriteSlots(const float* q, int32_t queries, int32_t cuts,
                              bool add, float* out) {
  for (int32_t index = 0; index < cuts; ++index) {
    const Cut cut = CutHeads(q, queries, cuts, index);
    WriteOut(cut, SlotState(kSlots, cut), add, out);
  }
}

void CpuAttention::AttendByChunks(const float* q, int32_t queries,
                                  absl::Span<const KvBlock> blocks, Sight sight,
                                  bool add, float* out) {
  const int32_t cuts = queries == 1 ? HeadCuts(kSlots) : shape_.n_head;
  ClearSlots(q, queries, cuts);
  MergeChunks(q, queries, cuts, blocks, sight);
  WriteSlots(q, queries, cuts, add, out);
}

void CpuAttention::AttendHistoryByChunks(const float* q, int32_t queries,
                                         PartRow first, float* out) {
  const int32_t cuts = queries == 1 ? HeadCuts(kSlots) : shape_.n_head;
  const auto carried = static_cast<size_t>(first.part->carried_blocks);
  ClearSlots(q, queries, cuts);
  MergeChunks(q, queries, cuts, first.part->history.first(carried),
              Sight{kSeesAll, 0});
  for (int32_t index = 0; carried > 0 && index < cuts; ++index) {
    const Cut cut = CutHeads(q, queries, cuts, index);
    Carry(cut, SlotState(kSlots, cut), first);
  }
  MergeChunks(q, queries, cuts, first.part->history.subspan(carried),
              Sight{kSeesAll, 0});
  WriteSlots(q, queries, cuts, /*add=*/true, out);
}

void CpuAttention::AttendWindow(Rows q, absl::Span<const WindowPart> parts,
                                Rows out) {
  const auto sight_of = [](const WindowPart& part, int32_t row) {
    return Sight{int64_t{part.window_offset} + row + 1, 1};
  };
  const int32_t block_rows = ChooseBlockRows(q.rows);
  const int32_t heads = shape_.n_head;
  int64_t single = 0;
  int64_t blocks = 0;  // of the other parts
  int64_t most_keys = 0;
  for (const WindowPart& part : parts) {
    if (part.rows == 1) {
      ++single;
    } else {
      blocks += Blocks(part.rows, block_rows);
    }
    most_keys = std::max(most_keys, KeyCount(part.history));
  }
  if (single + blocks * heads < 2 * pool_->threads() &&
      most_keys >= kManyKeys) {
    for (const WindowPart& part : parts) {
      for (int32_t row = 0; row < part.rows; row += kSlotRows) {
        const int32_t rows = std::min(kSlotRows, part.rows - row);
        const int64_t at = (int64_t{part.first_row} + row) * width();
        AttendByChunks(q.data + at, rows, part.window, sight_of(part, row),
                       /*add=*/false, out.data + at);
        if (part.history.empty()) continue;
        AttendHistoryByChunks(q.data + at, rows, {&part, row}, out.data + at);
      }
    }
    return;
  }
  const int32_t single_cuts = HeadCuts(std::max<int64_t>(single, 1));
  const auto cuts_of = [&](const WindowPart& part) {
    return part.rows == 1 ? single_cuts : heads;
  };
  const auto tasks_of = [&](const WindowPart& part) {
    return Blocks(part.rows, block_rows) * cuts_of(part);
  };
  const int64_t tasks = single * single_cuts + blocks * heads;
  pool_->ParallelFor(tasks, [&](int64_t task, int worker) {
    const WindowPart* part = parts.data();
    while (task >= tasks_of(*part)) {
      task -= tasks_of(*part);
      ++part;
    }
    const int32_t cuts = cuts_of(*part);
    const int32_t row = static_cast<int32_t>(task / cuts) * block_rows;
    const int32_t rows = std::min(block_rows, part->rows - row);
    const int64_t at = (int64_t{part->first_row} + row) * width();
    const Cut cut =
        CutHeads(q.data + at, rows, cuts, static_cast<int32_t>(task % cuts));
    AttendBlocks(cut, part->window, sight_of(*part, row), worker,
                 /*add=*/false, out.data + at);
    if (part->history.empty()) return;
    AttendHistory(cut, {part, row}, worker, out.data + at);
  });
}

void CpuAttention::Attend(Rows q, const KvBlock& keys, Rows out) {
  const int32_t heads = shape_.n_head;
  const int32_t block_rows = ChooseBlockRows(q.rows);
  pool_->ParallelFor(
      int64_t{Blocks(q.rows, block_rows)} * heads,
      [&](int64_t task, int worker) {
        const int32_t row = static_cast<int32_t>(task / heads) * block_rows;
        const int64_t at = row * width();
        const Cut cut =
            CutHeads(q.data + at, std::min(block_rows, q.rows - row), heads,
                     static_cast<int32_t>(task % heads));
        AttendBlocks(cut, absl::MakeConstSpan(&keys, 1), Sight{kSeesAll, 0},
                     worker, /*add=*/false, out.data + at);
      });
}

void CpuAttention::AccumulateAttention(Rows q, const KvBlock& keys,
                                       std::byte* partial) {
  const int32_t heads = shape_.n_head;
  const int32_t block_rows = ChooseBlockRows(q.rows);
  pool_->ParallelFor(
      int64_t{Blocks(q.rows, block_rows)} * heads,
      [&](int64_t task, int worker) {
        const int32_t row = static_cast<int32_t>(task / heads) * block_rows;
        const int32_t rows = std::min(block_rows, q.rows - row);
        const Cut cut = CutHeads(q.data + row * width(), rows, heads,
                                 static_cast<int32_t>(task % heads));
        SoftmaxState state = PartialState(partial, q.rows, cut.head);
        state.maximum += row;
        state.sum += row;
        state.values += int64_t{row} * shape_.head_size;
        ForEachChunk(absl::MakeConstSpan(&keys, 1), Sight{kSeesAll, 0}, rows,
                     [&](const Chunk& chunk) {
                       AttendOneChunk(cut, chunk, Scratch(worker), state);
                     });
      });
}

}  // namespace tlin
