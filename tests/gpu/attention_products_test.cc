// What the kernels are measured against does multiply queries, keys and values.
#include "tests/gpu/attention_products.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "engine/backend/cuda/cuda_backend.h"
#include "engine/backend/float_formats.h"

namespace tlin::cuda {
namespace {

// [rows, D], rounded to the dtype.
using Values = std::vector<float>;

Values RandomValues(DType dtype, int64_t count, std::mt19937* random) {
  Values values(static_cast<size_t>(count));
  for (float& value : values) {
    value = std::uniform_real_distribution<float>(-1, 1)(*random);
    if (dtype == DType::kBF16) value = Bf16ToFloat(FloatToBf16(value));
  }
  return values;
}

std::vector<std::byte> Encode(DType dtype, const Values& values) {
  std::vector<std::byte> bytes(values.size() *
                               static_cast<size_t>(DTypeBytes(dtype)));
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kF32) {
      reinterpret_cast<float*>(bytes.data())[i] = values[i];
    } else {
      reinterpret_cast<uint16_t*>(bytes.data())[i] = FloatToBf16(values[i]);
    }
  }
  return bytes;
}

// (q keys^T / sqrt(head size)) values, head by head.
Values Expected(const HeadShape& heads, const Values& q, const Values& keys,
                const Values& values) {
  const auto width = static_cast<size_t>(heads.width());
  const auto size = static_cast<size_t>(heads.head_size);
  Values out(q.size());
  for (size_t query = 0; query < q.size(); query += width) {
    for (size_t first = 0; first < width; first += size) {
      for (size_t key = 0; key < keys.size(); key += width) {
        double score = 0;
        for (size_t i = first; i < first + size; ++i) {
          score += double{q[query + i]} * keys[key + i];
        }
        score /= std::sqrt(static_cast<double>(size));
        for (size_t i = first; i < first + size; ++i) {
          out[query + i] += static_cast<float>(score * values[key + i]);
        }
      }
    }
  }
  return out;
}

class AttentionProductsTest : public testing::TestWithParam<DType> {};

TEST_P(AttentionProductsTest, AreThoseOfEachHead) {
  const DType dtype = GetParam();
  const double tolerance = dtype == DType::kF32 ? 2e-5 : 2e-2;
  std::mt19937 random(20261127);
  for (const auto& [n_head, head_size, rows, keys] :
       {std::array{1, 2, 1, 1}, {3, 36, 5, 7}, {2, 64, 33, 48}}) {
    SCOPED_TRACE(absl::StrCat(n_head, " heads of ", head_size, ", ", rows,
                              " queries, ", keys, " keys"));
    const HeadShape heads = {n_head, head_size};
    const int64_t width = heads.width();
    BackendShape shape;
    shape.n_embd = static_cast<int32_t>(width);
    shape.n_head = n_head;
    shape.ffn_size = 8;
    shape.vocab_size = 8;
    shape.max_rows = rows;
    shape.max_logit_rows = 1;
    auto backend = CudaBackend::Create(0, dtype, shape);
    ASSERT_TRUE(backend.ok()) << backend.status();

    const Values key_values = RandomValues(dtype, keys * width, &random);
    const Values value_values = RandomValues(dtype, keys * width, &random);
    const Values q_values = RandomValues(dtype, rows * width, &random);
    // One row more than is filled.
    auto block_memory =
        (*backend)->Allocate(KvBlockBytes(keys + 1, width, dtype));
    ASSERT_TRUE(block_memory.ok()) << block_memory.status();
    const KvBlock block = {(*block_memory)->data(), keys + 1, keys};
    std::vector<std::byte> kv = Encode(dtype, key_values);
    const std::vector<std::byte> v = Encode(dtype, value_values);
    kv.insert(kv.end(), v.begin(), v.end());
    (*backend)->WriteKv(kv.data(), block);
    ASSERT_TRUE((*backend)->Synchronize().ok());

    const std::vector<std::byte> q_bytes = Encode(dtype, q_values);
    auto q = DeviceMemory::Upload(absl::MakeConstSpan(q_bytes), "queries");
    auto out = DeviceMemory::Allocate(rows * width * 4);
    auto products = AttentionProducts::Create(dtype, heads, rows, keys);
    ASSERT_TRUE(q.ok() && out.ok() && products.ok());
    ASSERT_TRUE((*products)->Run(q->data(), block, out->as<float>()).ok());

    Values actual(q_values.size());
    ASSERT_EQ(cudaMemcpy(actual.data(), out->data(), actual.size() * 4,
                         cudaMemcpyDeviceToHost),
              cudaSuccess);
    const Values expected = Expected(heads, q_values, key_values, value_values);
    double largest = 0;
    for (const float value : expected) {
      largest = std::max(largest, std::fabs(double{value}));
    }
    for (size_t i = 0; i < actual.size(); ++i) {
      ASSERT_NEAR(actual[i], expected[i], tolerance * largest)
          << "element " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(, AttentionProductsTest,
                         testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& info) {
                           return std::string(DTypeName(info.param));
                         });

}  // namespace
}  // namespace tlin::cuda
