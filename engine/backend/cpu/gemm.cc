#include "engine/backend/cpu/gemm.h"

#include <algorithm>
#include <cmath>

namespace tlin {
namespace {

// Prepared rows that stay in a second-level cache (1 MB and more) while panel
// after panel goes by: 256 rows of 1280 floats are 1.3 MB.
constexpr int64_t kMaxBlockRows = 256;
// Below this many rows a block reads its panels too often.
constexpr int64_t kMinBlockRows = 32;
// Enough tasks that a worker which the system takes away for a while does not
// hold up the others, few enough that claiming them costs nothing.
constexpr int64_t kTasksPerThread = 4;

int64_t DivideUp(int64_t value, int64_t divisor) {
  return (value + divisor - 1) / divisor;
}

// Blocks of rows of equal height, but for the last.
struct RowBlocks {
  int64_t height;
  int64_t count;
};

RowBlocks CutRows(int64_t rows, int64_t panels, int64_t wanted) {
  int64_t blocks = DivideUp(rows, kMaxBlockRows);
  while (blocks * panels < wanted &&
         DivideUp(rows, blocks * 2) >= kMinBlockRows) {
    blocks *= 2;
  }
  const int64_t height = DivideUp(rows, blocks);
  return {height, DivideUp(rows, height)};
}

// Panels of the widest tile that a kernel has for so many rows.
int64_t PanelsOfTile(int64_t rows) { return rows <= 2 ? 4 : rows <= 5 ? 2 : 1; }

// The panels of a matrix in parts as equal as whole tiles can be.
struct PanelParts {
  int64_t tile;  // panels
  int64_t tiles;
  int64_t count;

  int64_t First(int64_t part) const { return part * tiles / count * tile; }
};

PanelParts CutPanels(int64_t panels, int64_t rows, double wanted) {
  PanelParts parts;
  parts.tile = PanelsOfTile(rows);
  parts.tiles = DivideUp(panels, parts.tile);
  parts.count = std::clamp<int64_t>(std::lround(wanted), 1, parts.tiles);
  return parts;
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
  const int64_t wanted = kTasksPerThread * pool.threads();
  const RowBlocks blocks = CutRows(rows.rows, panels, wanted);
  // Each matrix has its share of the tasks.
  const double wanted_per_panel =
      static_cast<double>(wanted) / static_cast<double>(panels * blocks.count);
  const auto parts_of = [&](const GemmOutput& output) {
    const int64_t own = output.matrix->panels();
    return CutPanels(own, rows.rows, wanted_per_panel * own);
  };
  int64_t tasks = 0;
  for (const GemmOutput& output : outputs) {
    tasks += parts_of(output).count * blocks.count;
  }
  pool.ParallelFor(tasks, [&](int64_t index, int) {
    // The blocks of rows of some panels are neighbours: the second finds the
    // panels in the cache.
    const GemmOutput* output = outputs.data();
    PanelParts parts = parts_of(*output);
    while (index >= parts.count * blocks.count) {
      index -= parts.count * blocks.count;
      parts = parts_of(*++output);
    }
    const PackedMatrix& matrix = *output->matrix;
    const int64_t part = index / blocks.count;
    const int64_t panel = parts.First(part);
    const int64_t end = std::min(parts.First(part + 1), matrix.panels());
    const int64_t row = index % blocks.count * blocks.height;
    GemmTask task;
    task.a = rows.data + row * rows.stride;
    task.a_stride = rows.stride;
    task.rows = std::min(blocks.height, rows.rows - row);
    task.panels = matrix.data() + panel * matrix.panel_bytes();
    task.panel_bytes = matrix.panel_bytes();
    task.panel_count = end - panel;
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
