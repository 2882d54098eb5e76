#include "engine/backend/cpu/gemm.h"

#include <algorithm>

namespace tlin {
namespace {

// Prepared rows that stay in a second-level cache (1 MB and more) while panel
// after panel goes by: 256 rows of 1280 floats are 1.3 MB.
constexpr int64_t kMaxBlockRows = 256;
// Below this many rows a block reads its panels too often.
constexpr int64_t kMinBlockRows = 32;
// Widest tile of a kernel: a task of fewer panels would use narrower ones.
constexpr int64_t kPanelsOfTile = 4;
// Enough tasks that a worker which the system takes away for a while does not
// hold up the others, few enough that claiming them costs nothing.
constexpr int64_t kTasksPerThread = 4;

int64_t DivideUp(int64_t value, int64_t divisor) {
  return (value + divisor - 1) / divisor;
}

// A grid over rows and panels.
struct Cut {
  int64_t block_rows;
  int64_t blocks;
  int64_t task_panels;
};

Cut ChooseCut(int64_t rows, int64_t panels, int threads) {
  const int64_t wanted = kTasksPerThread * threads;
  Cut cut;
  cut.blocks = DivideUp(rows, kMaxBlockRows);
  while (cut.blocks * panels < wanted &&
         DivideUp(rows, cut.blocks * 2) >= kMinBlockRows) {
    cut.blocks *= 2;
  }
  cut.block_rows = DivideUp(rows, cut.blocks);
  cut.blocks = DivideUp(rows, cut.block_rows);
  cut.task_panels = std::max<int64_t>(1, panels * cut.blocks / wanted);
  if (rows <= kMinBlockRows) {
    cut.task_panels = DivideUp(cut.task_panels, kPanelsOfTile) * kPanelsOfTile;
  }
  return cut;
}

}  // namespace

int64_t PreparedStride(const GemmKernels& kernels, int64_t cols) {
  constexpr int64_t kLine = 16;  // words
  const int64_t words = (cols + 1) / 2 * 2 / kernels.inputs_per_word;
  return (DivideUp(words, kLine) | 1) * kLine;
}

void Multiply(const GemmKernels& kernels, PreparedRows rows,
              absl::Span<const GemmOutput> outputs, WorkerPool& pool) {
  if (rows.rows == 0) return;
  int64_t panels = 0;
  for (const GemmOutput& output : outputs) panels += output.matrix->panels();
  const Cut cut = ChooseCut(rows.rows, panels, pool.threads());
  int64_t tasks = 0;
  for (const GemmOutput& output : outputs) {
    tasks += DivideUp(output.matrix->panels(), cut.task_panels) * cut.blocks;
  }
  pool.ParallelFor(tasks, [&](int64_t index, int) {
    // The blocks of rows of some panels are neighbours: the second finds the
    // panels in the cache that processors share.
    const GemmOutput* output = outputs.data();
    while (true) {
      const int64_t of_output =
          DivideUp(output->matrix->panels(), cut.task_panels) * cut.blocks;
      if (index < of_output) break;
      index -= of_output;
      ++output;
    }
    const PackedMatrix& matrix = *output->matrix;
    const int64_t row = index % cut.blocks * cut.block_rows;
    const int64_t panel = index / cut.blocks * cut.task_panels;
    GemmTask task;
    task.a = rows.data + row * rows.stride;
    task.a_stride = rows.stride;
    task.rows = std::min(cut.block_rows, rows.rows - row);
    task.panels = matrix.data() + panel * matrix.panel_bytes();
    task.panel_bytes = matrix.panel_bytes();
    task.panel_count = std::min(cut.task_panels, matrix.panels() - panel);
    task.depth = matrix.in();
    task.bias = matrix.bias() + panel * kPanel;
    task.y = output->y + row * output->stride + panel * kPanel;
    task.y_stride = output->stride;
    task.columns =
        std::min(task.panel_count * kPanel, matrix.out() - panel * kPanel);
    task.add = output->add;
    kernels.multiply(task);
  });
}

}  // namespace tlin
