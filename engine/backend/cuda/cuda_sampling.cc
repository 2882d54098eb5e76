// CudaBackend's sampling, and the decode step that ends with it.
#include <algorithm>

#include "engine/backend/cuda/cuda_backend.h"
#include "engine/base/check.h"

namespace tlin::cuda {
namespace {

int64_t ArgumentBytes(const SampleRow& row) {
  return Arguments::BytesOf<TokenCount>(row.counts.size()) +
         Arguments::BytesOf<TokenCount>(row.banned.size()) +
         Arguments::BytesOf<DeviceSample>(1);
}

}  // namespace

void CudaBackend::SampleTokens(const Norm& norm, const Linear& table, Rows x,
                               absl::Span<const int32_t> row_indices,
                               absl::Span<const SampleRow> samples,
                               SampledToken* tokens) {
  TLIN_CHECK(samples.size() == row_indices.size());
  if (samples.empty()) return;
  MultiplyLogits(norm, table, x, row_indices);
  // Penalties bring lists along, at most as long as the vocabulary: as many
  // rows at once as their arguments leave room for.
  for (size_t first = 0; first < samples.size();) {
    size_t end = first;
    int64_t bytes = 0;
    while (end < samples.size() &&
           (end == first ||
            bytes + ArgumentBytes(samples[end]) <= lane_->arguments.bytes())) {
      bytes += ArgumentBytes(samples[end++]);
    }
    SampleLogits(static_cast<int32_t>(first),
                 samples.subspan(first, end - first), tokens + first);
    first = end;
  }
}

void CudaBackend::SampleLogits(int32_t first,
                               absl::Span<const SampleRow> samples,
                               SampledToken* tokens) {
  const auto rows = static_cast<int32_t>(samples.size());
  if (sampled_rows_ + rows > shape_.max_logit_rows) {
    WaitForLane(lane_);
    DeliverTokens();
  }
  int64_t bytes = 0;
  for (const SampleRow& row : samples) bytes += ArgumentBytes(row);
  Begin(bytes);
  samples_.clear();
  for (const SampleRow& row : samples) {
    DeviceSample& sample = samples_.emplace_back();
    sample.sampling = row.sampling;
    sample.position = row.position;
    sample.counts = arguments().PutList(row.counts);
    sample.count_size = static_cast<int32_t>(row.counts.size());
    banned_.clear();
    for (const TokenId token : row.banned) banned_.push_back({token, 0});
    sample.banned = arguments().PutList(absl::MakeConstSpan(banned_));
    sample.banned_size = static_cast<int32_t>(banned_.size());
    sample.logprobs = row.logprobs;
    sample.active = 1;
  }
  const DeviceSample* const device_samples = Put(absl::MakeConstSpan(samples_));
  SendArguments();
  float* const logits =
      logits_.as<float>() + int64_t{first} * shape_.vocab_size;
  auto* const sampled =
      reinterpret_cast<SampledToken*>(sampled_.data()) + sampled_rows_;
  Enqueue("sampling", [&](cudaStream_t stream) {
    return LaunchSample(logits, shape_.vocab_size, device_samples, Padded(rows),
                        sampled, stream);
  });
  deliveries_.push_back({tokens, rows});
  sampled_rows_ += rows;
}

void CudaBackend::DeliverTokens() {
  const auto* from = reinterpret_cast<const SampledToken*>(sampled_.data());
  for (const Delivery& delivery : deliveries_) {
    if (failure_.ok()) std::copy_n(from, delivery.rows, delivery.to);
    from += delivery.rows;
  }
  deliveries_.clear();
  sampled_rows_ = 0;
}

void CudaBackend::BeginDecode(int32_t rows,
                              absl::Span<const SampleRow> samples) {
  int64_t lists = 0;
  for (const SampleRow& row : samples) lists += ArgumentBytes(row);
  const int32_t most = std::min(shape_.max_rows, shape_.max_logit_rows);
  if (!graphs_.usable() || rows > most || lists > sizes_.sample_lists ||
      sampled_rows_ > 0) {
    return;  // kernel by kernel
  }
  Begin(0);
  decode_arguments_.Recycle();
  Note(graphs_.Begin(DecodeBucket(rows, most), lane_->stream.get()),
       "the recording of a step");
}

void CudaBackend::EndDecode() {
  if (!graphs_.active()) return;
  // Outside of the graph: how much there is may differ.
  Note(graphs_.FinishRecording(lane_->stream.get(), failure_.ok()),
       "the recording of a step");
  Note(decode_arguments_.Send(lane_->stream.get()), "arguments of a step");
  Note(graphs_.Launch(lane_->stream.get()), "a recorded step");
}

}  // namespace tlin::cuda
