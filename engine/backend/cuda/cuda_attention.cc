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
    placed.window_begin = static_cast<int32_t>(blocks_.size());
    int32_t keys = 0;
    for (const KvBlock& block : part.window) {
      blocks_.push_back({block, keys});
      keys += block.rows;
    }
    placed.window_end = static_cast<int32_t>(blocks_.size());
    placed.history_begin = placed.window_end;
    for (const KvBlock& block : part.history) blocks_.push_back({block, 0});
    placed.history_end = static_cast<int32_t>(blocks_.size());
    placed.carry = reinterpret_cast<float*>(part.carry.data);
    placed.ring_rows = part.carry.rows;
    placed.first_query = part.first_query;
    placed.carried_blocks = part.carried_blocks;
    placed.scratch_begin = static_cast<int32_t>(extent.scratch_rows);
    const int64_t blocks = placed.history_end - placed.window_begin;
    extent.scratch_rows += blocks * part.rows;
    extent.longest = std::max(extent.longest, blocks);
    for (int32_t first = 0; first < part.rows; first += tile_rows) {
      tiles_.push_back({static_cast<int32_t>(parts_.size()), first,
                        std::min(tile_rows, part.rows - first)});
    }
    parts_.push_back(placed);
  }
  return extent;
}

void CudaBackend::AttendWindow(Rows q, absl::Span<const WindowPart> parts,
                               Rows out) {
  TLIN_CHECK(q.rows == out.rows);
  const Extent extent = PlaceParts(parts);
  const auto bytes = [](const auto& values) {
    return Arguments::RoundUp(
        static_cast<int64_t>(values.size() * sizeof(values[0])));
  };
  Begin(bytes(parts_) + bytes(tiles_) + bytes(blocks_));
  AttendArrays arrays;
  arrays.parts = arguments_.Put(absl::MakeConstSpan(parts_));
  arrays.tiles = arguments_.Put(absl::MakeConstSpan(tiles_));
  arrays.blocks = arguments_.Put(absl::MakeConstSpan(blocks_));
  arrays.tile_count = static_cast<int32_t>(tiles_.size());
  Note(arguments_.Send(stream_), "parts of a step");
  if (extent.longest > kSplitFrom && extent.scratch_rows <= shape_.max_blocks) {
    const auto splits =
        static_cast<int32_t>(std::min<int64_t>(kMostSplits, extent.longest));
    Note(attention_.window_split(heads_, q.data, arrays, splits,
                                 block_scratch_.as<float>(), out.data, stream_),
         "attention");
  } else {
    Note(attention_.window(heads_, q.data, arrays, out.data, stream_),
         "attention");
  }
}

void CudaBackend::Attend(Rows q, const KvBlock& keys, Rows out) {
  Begin(0);
  Note(attention_.attend(heads_, q.data, q.rows, keys, out.data, stream_),
       "attention");
}

int64_t CudaBackend::PartialBytes(int32_t rows) const {
  return rows * PartialFloats(heads_) * static_cast<int64_t>(sizeof(float));
}

void CudaBackend::ResetPartial(int32_t rows, std::byte* partial) {
  Begin(0);
  Note(LaunchResetPartials(heads_, rows, reinterpret_cast<float*>(partial),
                           stream_),
       "partials");
}

void CudaBackend::AccumulateAttention(Rows q, const KvBlock& keys,
                                      std::byte* partial) {
  Begin(0);
  Note(attention_.accumulate(heads_, q.data, q.rows, keys,
                             reinterpret_cast<float*>(partial), stream_),
       "attention");
}

void CudaBackend::FinishPartial(const std::byte* partial, Rows out) {
  Begin(0);
  Note(LaunchFinishPartials(heads_, out.rows,
                            reinterpret_cast<const float*>(partial),
                            /*add=*/false, out.data, stream_),
       "partials");
}

void CudaBackend::AddPartial(const std::byte* partial, Rows out) {
  Begin(0);
  Note(LaunchFinishPartials(heads_, out.rows,
                            reinterpret_cast<const float*>(partial),
                            /*add=*/true, out.data, stream_),
       "partials");
}

void CudaBackend::LoadPartial(const PartialRing& ring, int32_t first_query,
                              int32_t rows, std::byte* partial) {
  Begin(0);
  Note(LaunchMoveRing(heads_, reinterpret_cast<float*>(ring.data), ring.rows,
                      first_query, rows, reinterpret_cast<float*>(partial),
                      /*to_ring=*/false, stream_),
       "partials");
}

void CudaBackend::StorePartial(const std::byte* partial, int32_t rows,
                               const PartialRing& ring, int32_t first_query) {
  Begin(0);
  Note(LaunchMoveRing(
           heads_, reinterpret_cast<float*>(ring.data), ring.rows, first_query,
           rows, const_cast<float*>(reinterpret_cast<const float*>(partial)),
           /*to_ring=*/true, stream_),
       "partials");
}

}  // namespace tlin::cuda
