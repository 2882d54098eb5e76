// CudaBackend's operations of attention.
#include <algorithm>

#include "engine/backend/cuda/cuda_backend.h"
#include "engine/base/check.h"

namespace tlin::cuda {
namespace {

// Fewer blocks than these are taken one after the other: there is nothing to
// win by a second kernel.
constexpr int64_t kSplitFrom = 4;
// Thread blocks beside each other for one tile of queries and head.
constexpr int32_t kMostSplits = 32;

}  // namespace

CudaBackend::Extent CudaBackend::PlaceParts(
    absl::Span<const WindowPart> parts) {
  Extent extent;
  parts_.clear();
  tiles_.clear();
  blocks_.clear();
  const int32_t tile_rows = TileRows(dtype_);
  for (const WindowPart& part : parts) {
    AttendPart placed;
    placed.first_row = part.first_row;
    placed.rows = part.rows;
    placed.window_offset = part.window_offset;
    int32_t keys = 0;
    for (const KvBlock& block : part.window) {
      blocks_.push_back({block, keys});
      keys += block.rows;
    }
    for (const KvBlock& block : part.history) blocks_.push_back({block, 0});
    placed.window_end = static_cast<int32_t>(part.window.size());
    placed.history_end =
        placed.window_end + static_cast<int32_t>(part.history.size());
    placed.carry = reinterpret_cast<float*>(part.carry.data);
    placed.ring_rows = part.carry.rows;
    placed.first_query = part.first_query;
    placed.carried_blocks = part.carried_blocks;
    placed.scratch_begin = static_cast<int32_t>(extent.scratch_rows);
    extent.scratch_rows += int64_t{placed.history_end} * part.rows;
    extent.longest = std::max<int64_t>(extent.longest, placed.history_end);
    extent.grows = extent.grows || part.grows;
    for (int32_t first = 0; first < part.rows; first += tile_rows) {
      tiles_.push_back({static_cast<int32_t>(parts_.size()), first,
                        std::min(tile_rows, part.rows - first)});
    }
    parts_.push_back(placed);
  }
  return extent;
}

int32_t CudaBackend::SplitsOf(const Extent& extent) const {
  // In a recorded step it is the same whatever the lengths.
  if (graphs_.active()) return extent.grows ? kMostSplits : 1;
  if (extent.longest <= kSplitFrom || extent.scratch_rows > shape_.max_blocks) {
    return 1;
  }
  return static_cast<int32_t>(std::min<int64_t>(kMostSplits, extent.longest));
}

void CudaBackend::AttendWindow(Rows q, absl::Span<const WindowPart> parts,
                               Rows out) {
  TLIN_CHECK(q.rows == out.rows);
  const Extent extent = PlaceParts(parts);
  Begin(Arguments::BytesOf<AttendPart>(parts_.size()) +
        Arguments::BytesOf<AttendTile>(tiles_.size()) +
        Arguments::BytesOf<AttendBlock>(blocks_.size()));
  const AttendBlock* blocks = arguments().PutList(absl::MakeConstSpan(blocks_));
  for (AttendPart& part : parts_) {
    part.blocks = blocks;
    blocks += part.history_end;
  }
  AttendArrays arrays;
  arrays.parts = Put(absl::MakeConstSpan(parts_));
  arrays.tiles = Put(absl::MakeConstSpan(tiles_));
  arrays.tile_count = Padded(static_cast<int32_t>(tiles_.size()));
  SendArguments();
  const int32_t splits = SplitsOf(extent);
  Enqueue("attention", [&](cudaStream_t stream) {
    return splits == 1
               ? attention_.window(heads_, q.data, arrays, out.data, stream)
               : attention_.window_split(heads_, q.data, arrays, splits,
                                         block_scratch_.as<float>(), out.data,
                                         stream);
  });
}

void CudaBackend::Attend(Rows q, const KvBlock& keys, Rows out) {
  Begin(0);
  Enqueue("attention", [&](cudaStream_t stream) {
    return attention_.attend(heads_, q.data, q.rows, keys, out.data, stream);
  });
}

int64_t CudaBackend::PartialBytes(int32_t rows) const {
  return rows * PartialFloats(heads_) * static_cast<int64_t>(sizeof(float));
}

void CudaBackend::ResetPartial(int32_t rows, std::byte* partial) {
  Begin(0);
  Enqueue("partials", [&](cudaStream_t stream) {
    return LaunchResetPartials(heads_, rows, reinterpret_cast<float*>(partial),
                               stream);
  });
}

void CudaBackend::AccumulateAttention(Rows q, const KvBlock& keys,
                                      std::byte* partial) {
  Begin(0);
  Enqueue("attention", [&](cudaStream_t stream) {
    return attention_.accumulate(heads_, q.data, q.rows, keys,
                                 reinterpret_cast<float*>(partial), stream);
  });
}

void CudaBackend::FinishPartial(const std::byte* partial, Rows out) {
  Begin(0);
  Enqueue("partials", [&](cudaStream_t stream) {
    return LaunchFinishPartials(heads_, out.rows,
                                reinterpret_cast<const float*>(partial),
                                /*add=*/false, out.data, stream);
  });
}

void CudaBackend::AddPartial(const std::byte* partial, Rows out) {
  Begin(0);
  Enqueue("partials", [&](cudaStream_t stream) {
    return LaunchFinishPartials(heads_, out.rows,
                                reinterpret_cast<const float*>(partial),
                                /*add=*/true, out.data, stream);
  });
}

void CudaBackend::LoadPartial(const PartialRing& ring, int32_t first_query,
                              int32_t rows, std::byte* partial) {
  Begin(0);
  Enqueue("partials", [&](cudaStream_t stream) {
    return LaunchMoveRing(heads_, reinterpret_cast<float*>(ring.data),
                          ring.rows, first_query, rows,
                          reinterpret_cast<float*>(partial),
                          /*to_ring=*/false, stream);
  });
}

void CudaBackend::StorePartial(const std::byte* partial, int32_t rows,
                               const PartialRing& ring, int32_t first_query) {
  Begin(0);
  Enqueue("partials", [&](cudaStream_t stream) {
    return LaunchMoveRing(
        heads_, reinterpret_cast<float*>(ring.data), ring.rows, first_query,
        rows, const_cast<float*>(reinterpret_cast<const float*>(partial)),
        /*to_ring=*/true, stream);
  });
}

}  // namespace tlin::cuda
