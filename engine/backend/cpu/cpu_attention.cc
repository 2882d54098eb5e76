// The attention operations of CpuBackend: how the work is cut into tasks. A
// task is up to four queries of one head; its arithmetic is in
// attention_kernel.
#include <algorithm>
#include <limits>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/base/check.h"

namespace tlin {
namespace {

// A partial: maxima and sums [n_head, rows], then values [rows, n_embd], f32.
struct PartialView {
  PartialView(std::byte* data, int32_t rows, const AttentionShape& shape)
      : maxima(reinterpret_cast<float*>(data)),
        sums(maxima + int64_t{shape.n_head} * rows),
        values(sums + int64_t{shape.n_head} * rows) {}
  float* maxima;
  float* sums;
  float* values;
};

int32_t RowTasks(int32_t rows) {
  return (rows + kMaxQueries - 1) / kMaxQueries;
}

}  // namespace

void CpuBackend::AttendPart(Rows q, const WindowPart& part, int32_t row,
                            int32_t head, WorkerScratch* scratch,
                            Rows out) const {
  const int32_t queries = std::min(kMaxQueries, part.rows - row);
  const int32_t head_size = attention_.head_size;
  const int64_t column = int64_t{head} * head_size;
  const float* q_heads[kMaxQueries];
  float* out_heads[kMaxQueries];
  float maxima[kMaxQueries];
  float sums[kMaxQueries];
  AttentionState state;
  for (int32_t i = 0; i < queries; ++i) {
    const int64_t at = (int64_t{part.first_row} + row + i) * shape_.n_embd;
    q_heads[i] = q.data + at + column;
    out_heads[i] = out.data + at + column;
    state.maximum[i] = &maxima[i];
    state.sum[i] = &sums[i];
    state.values[i] = scratch->values.data() + int64_t{i} * head_size;
  }
  const auto attend = [&](absl::Span<const KvBlock> blocks, bool causal) {
    std::fill_n(maxima, queries, -std::numeric_limits<float>::infinity());
    std::fill_n(sums, queries, 0.0f);
    std::fill(scratch->values.begin(), scratch->values.end(), 0.0f);
    int64_t first_key = 0;
    for (const KvBlock& block : blocks) {
      int32_t visible[kMaxQueries];
      for (int32_t i = 0; i < queries; ++i) {
        const int64_t seen = int64_t{part.window_offset} + row + i + 1;
        visible[i] = causal ? static_cast<int32_t>(std::clamp<int64_t>(
                                  seen - first_key, 0, block.rows))
                            : block.rows;
      }
      AttendBlock(attention_, head, queries, q_heads, visible, block, state,
                  scratch->scores.data());
      first_key += block.rows;
    }
  };
  attend(part.window, /*causal=*/true);
  for (int32_t i = 0; i < queries; ++i) {
    for (int32_t d = 0; d < head_size; ++d) {
      out_heads[i][d] = state.values[i][d] / sums[i];
    }
  }
  if (part.history.empty()) return;
  attend(part.history, /*causal=*/false);
  for (int32_t i = 0; i < queries; ++i) {
    for (int32_t d = 0; d < head_size; ++d) {
      out_heads[i][d] += state.values[i][d] / sums[i];
    }
  }
}

void CpuBackend::AttendWindow(Rows q, absl::Span<const WindowPart> parts,
                              Rows out) {
  int64_t row_tasks = 0;
  for (const WindowPart& part : parts) row_tasks += RowTasks(part.rows);
  pool_.ParallelFor(row_tasks * shape_.n_head, [&](int64_t task, int worker) {
    // The heads of a part lie together: its keys are read by neighbours in
    // time.
    int64_t row_task = task / shape_.n_head;
    size_t index = 0;
    while (row_task >= RowTasks(parts[index].rows)) {
      row_task -= RowTasks(parts[index].rows);
      ++index;
    }
    AttendPart(q, parts[index], static_cast<int32_t>(row_task) * kMaxQueries,
               static_cast<int32_t>(task % shape_.n_head), &scratch_[worker],
               out);
  });
}

void CpuBackend::Attend(Rows q, const KvBlock& keys, Rows out) {
  // Every query sees all keys: the causal bound is out of reach.
  WindowPart part;
  part.rows = q.rows;
  part.window = absl::MakeConstSpan(&keys, 1);
  part.window_offset = keys.rows;
  AttendWindow(q, absl::MakeConstSpan(&part, 1), out);
}

int64_t CpuBackend::PartialBytes(int32_t rows) const {
  return int64_t{rows} * (shape_.n_embd + 2 * shape_.n_head) *
         static_cast<int64_t>(sizeof(float));
}

void CpuBackend::ResetPartial(int32_t rows, std::byte* partial) {
  const PartialView view(partial, rows, attention_);
  std::fill(view.maxima, view.sums, -std::numeric_limits<float>::infinity());
  std::fill(view.sums, view.values, 0.0f);
  std::fill_n(view.values, int64_t{rows} * shape_.n_embd, 0.0f);
}

void CpuBackend::AccumulateAttention(Rows q, const KvBlock& keys,
                                     std::byte* partial) {
  const PartialView view(partial, q.rows, attention_);
  const int64_t tasks = int64_t{RowTasks(q.rows)} * shape_.n_head;
  pool_.ParallelFor(tasks, [&](int64_t task, int worker) {
    const auto head = static_cast<int32_t>(task / RowTasks(q.rows));
    const auto row =
        static_cast<int32_t>(task % RowTasks(q.rows)) * kMaxQueries;
    const int32_t queries = std::min(kMaxQueries, q.rows - row);
    const float* q_heads[kMaxQueries];
    int32_t visible[kMaxQueries];
    AttentionState state;
    for (int32_t i = 0; i < queries; ++i) {
      const int64_t at = (int64_t{row} + i) * shape_.n_embd +
                         int64_t{head} * attention_.head_size;
      const int64_t scalar = int64_t{head} * q.rows + row + i;
      q_heads[i] = q.data + at;
      visible[i] = keys.rows;
      state.maximum[i] = view.maxima + scalar;
      state.sum[i] = view.sums + scalar;
      state.values[i] = view.values + at;
    }
    AttendBlock(attention_, head, queries, q_heads, visible, keys, state,
                scratch_[worker].scores.data());
  });
}

void CpuBackend::FinishPartial(const std::byte* partial, Rows out) {
  const PartialView view(const_cast<std::byte*>(partial), out.rows, attention_);
  pool_.ParallelFor(out.rows, [&](int64_t row, int) {
    for (int32_t head = 0; head < shape_.n_head; ++head) {
      const float sum = view.sums[int64_t{head} * out.rows + row];
      const int64_t at =
          row * shape_.n_embd + int64_t{head} * attention_.head_size;
      for (int32_t d = 0; d < attention_.head_size; ++d) {
        out.data[at + d] = view.values[at + d] / sum;
      }
    }
  });
}

}  // namespace tlin
