// Attention of ReferenceBackend.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "engine/base/check.h"
#include "tests/testing/reference_backend.h"

namespace tlin {

void ReferenceBackend::Meet(const float* q, const KvBlock& keys, int32_t rows,
                            double* partial) {
  const double scale = 1 / std::sqrt(double(head_size()));
  for (int32_t head = 0; head < shape_.n_head; ++head) {
    double& most = partial[2 * head];
    double& sum = partial[2 * head + 1];
    const int32_t at = head * head_size();
    double* values = partial + 2 * shape_.n_head + at;
    for (int32_t row = 0; row < rows; ++row) {
      const float* key = reinterpret_cast<const float*>(keys.data) +
                         int64_t{row} * 2 * shape_.n_embd + at;
      double score = 0;
      for (int32_t i = 0; i < head_size(); ++i) {
        score += double{q[at + i]} * key[i];
      }
      score *= scale;
      const double before = std::exp(most - std::max(most, score));
      most = std::max(most, score);
      const double weight = std::exp(score - most);
      sum = sum * before + weight;
      for (int32_t i = 0; i < head_size(); ++i) {
        values[i] = values[i] * before + weight * key[shape_.n_embd + i];
      }
    }
  }
  attention_flops_ += 4.0 * rows * shape_.n_embd;
}

void ReferenceBackend::AddResult(const double* partial, float* out) const {
  for (int32_t i = 0; i < shape_.n_embd; ++i) {
    out[i] += static_cast<float>(partial[2 * shape_.n_head + i] /
                                 partial[2 * (i / head_size()) + 1]);
  }
}

int64_t ReferenceBackend::PartialBytes(int32_t rows) const {
  return rows * PartialSize() * static_cast<int64_t>(sizeof(double));
}

void ReferenceBackend::ResetPartial(int32_t rows, std::byte* partial) {
  auto* const values = reinterpret_cast<double*>(partial);
  std::fill_n(values, rows * PartialSize(), 0.0);
  for (int32_t row = 0; row < rows; ++row) {
    for (int32_t head = 0; head < shape_.n_head; ++head) {
      values[row * PartialSize() + 2 * head] =
          -std::numeric_limits<double>::infinity();
    }
  }
}

void ReferenceBackend::AccumulateAttention(Rows q, const KvBlock& keys,
                                           std::byte* partial) {
  for (int32_t i = 0; i < q.rows; ++i) {
    Meet(q.data + int64_t{i} * shape_.n_embd, keys, keys.rows,
         reinterpret_cast<double*>(partial) + i * PartialSize());
  }
}

void ReferenceBackend::FinishPartial(const std::byte* partial, Rows out) {
  std::fill_n(out.data, int64_t{out.rows} * shape_.n_embd, 0.0f);
  AddPartial(partial, out);
}

void ReferenceBackend::AddPartial(const std::byte* partial, Rows out) {
  for (int32_t i = 0; i < out.rows; ++i) {
    AddResult(reinterpret_cast<const double*>(partial) + i * PartialSize(),
              out.data + int64_t{i} * shape_.n_embd);
  }
}

void ReferenceBackend::LoadPartial(const PartialRing& ring, int32_t first_query,
                                   int32_t rows, std::byte* partial) {
  const int64_t bytes = PartialBytes(1);
  for (int32_t i = 0; i < rows; ++i) {
    std::memcpy(partial + i * bytes,
                ring.data + (first_query + i) % ring.rows * bytes, bytes);
  }
}

void ReferenceBackend::StorePartial(const std::byte* partial, int32_t rows,
                                    const PartialRing& ring,
                                    int32_t first_query) {
  const int64_t bytes = PartialBytes(1);
  for (int32_t i = 0; i < rows; ++i) {
    std::memcpy(ring.data + (first_query + i) % ring.rows * bytes,
                partial + i * bytes, bytes);
  }
}

void ReferenceBackend::Attend(Rows q, const KvBlock& keys, Rows out) {
  std::vector<std::byte> partial(static_cast<size_t>(PartialBytes(q.rows)));
  ResetPartial(q.rows, partial.data());
  AccumulateAttention(q, keys, partial.data());
  FinishPartial(partial.data(), out);
}

void ReferenceBackend::AttendWindow(Rows q, absl::Span<const WindowPart> parts,
                                    Rows out) {
  std::vector<double> partial(static_cast<size_t>(PartialSize()));
  const auto reset = [&] {
    ResetPartial(1, reinterpret_cast<std::byte*>(partial.data()));
  };
  for (const WindowPart& part : parts) {
    for (int32_t i = 0; i < part.rows; ++i) {
      const int64_t at = int64_t{part.first_row + i} * shape_.n_embd;
      std::fill_n(out.data + at, shape_.n_embd, 0.0f);
      int32_t visible = part.window_offset + i + 1;
      reset();
      for (const KvBlock& block : part.window) {
        const int32_t rows = std::min(visible, block.rows);
        Meet(q.data + at, block, rows, partial.data());
        visible -= rows;
      }
      TLIN_CHECK(visible == 0);
      AddResult(partial.data(), out.data + at);
      if (part.history.empty()) continue;
      reset();
      int32_t met = 0;
      for (const KvBlock& block : part.history) {
        Meet(q.data + at, block, block.rows, partial.data());
        if (++met == part.carried_blocks) {
          StorePartial(reinterpret_cast<const std::byte*>(partial.data()), 1,
                       part.carry, part.first_query + i);
        }
      }
      AddResult(partial.data(), out.data + at);
    }
  }
}

}  // namespace tlin
