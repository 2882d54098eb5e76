#include "engine/backend/cuda/workspace.h"

#include <algorithm>

#include "engine/backend/cuda/arguments.h"
#include "engine/backend/cuda/attention_ops.h"
#include "engine/backend/cuda/gemm.h"
#include "engine/backend/cuda/sampling_ops.h"
#include "engine/backend/kv_block.h"

namespace tlin::cuda {
namespace {

constexpr int64_t kFloatBytes = sizeof(float);
// What the operations of a step bring along, a row; beyond that Begin waits.
// Some 128 bytes in each of 64 layers.
constexpr int64_t kArgumentBytesPerRow = 8 << 10;
// Tokens with a penalty, and banned ones, of a recorded step: so many a row, or
// what the vocabulary has.
constexpr int64_t kCountsPerRow = 4096;

template <class... T>
constexpr int64_t SizeOf() {
  return static_cast<int64_t>((sizeof(T) + ...));
}

}  // namespace

WorkspaceSizes MakeWorkspaceSizes(DType dtype, const BackendShape& shape) {
  const HeadShape heads = {shape.n_head, shape.n_embd / shape.n_head};
  const int64_t rows = std::max(shape.max_rows, shape.max_logit_rows);
  WorkspaceSizes sizes;
  // All blocks of the parts, and the parts and their tiles.
  const int64_t attention =
      shape.max_blocks * SizeOf<AttendBlock>() +
      rows * SizeOf<AttendPart, AttendTile, AttendBlock, AttendBlock>();
  // One row to sample, with all of the vocabulary in both of its lists.
  const int64_t sample = 2 * Arguments::BytesOf<TokenCount>(
                                 static_cast<size_t>(shape.vocab_size)) +
                         Arguments::BytesOf<DeviceSample>(1);
  sizes.arguments = Arguments::RoundUp(
      std::max({rows * kArgumentBytesPerRow, 2 * attention, sample}));
  sizes.prepared = rows * DTypeBytes(dtype) *
                   std::max(RowStride(shape.n_embd, dtype),
                            RowStride(shape.ffn_size, dtype));
  sizes.wide = rows * kFloatBytes *
               std::max(3 * int64_t{shape.n_embd}, 2 * int64_t{shape.ffn_size});
  sizes.products = Gemm::kWorkspaceBytes;

  // Each array is rounded up, by less than 16.
  const int64_t steps = shape.max_logit_rows;
  const int64_t of_layer =
      steps * SizeOf<TokenId, int32_t, KvRow, AttendPart, AttendTile>() +
      5 * 16;
  const int64_t of_ends =
      steps * SizeOf<TokenId, int32_t, DeviceSample>() + 3 * 16;
  sizes.decode_arrays = Arguments::RoundUp(shape.layers * of_layer + of_ends);
  sizes.sample_lists =
      steps * SizeOf<TokenCount>() *
      std::min<int64_t>(kCountsPerRow, 2 * int64_t{shape.vocab_size} + 16);
  // In a layer a window of one block and a history of one, or what grows.
  sizes.decode_lists = Arguments::RoundUp(
      SizeOf<AttendBlock>() *
          (2 * steps * shape.layers + shape.growing_layers * shape.max_blocks) +
      shape.layers * 16 + sizes.sample_lists);

  sizes.logits = steps * shape.vocab_size * kFloatBytes;
  sizes.kv_rows = KvRowsBytes(kTransferRows, shape.n_embd, dtype);
  sizes.block_scratch = shape.max_blocks * PartialFloats(heads) * kFloatBytes;
  sizes.frequencies = heads.head_size / 2 * kFloatBytes;
  return sizes;
}

}  // namespace tlin::cuda
