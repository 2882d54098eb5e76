// Keys and values of a block in host memory, and back.
#include <cstring>
#include <vector>

#include "engine/backend/float_formats.h"
#include "tests/backend/backend_fixture.h"

namespace tlin {
namespace {

class KvTransferTest : public BackendTest {
 protected:
  std::vector<std::byte> Read(const KvBlock& block) {
    // Filled, so that what is not written shows.
    std::vector<std::byte> host(
        KvRowsBytes(block.rows, n_embd(), backend_->dtype()), std::byte{0xA5});
    backend_->ReadKv(block, host.data());
    EXPECT_TRUE(backend_->Synchronize().ok());
    return host;
  }

  // Rows [first, first + rows) of host memory as numbers.
  Matrix Numbers(const std::vector<std::byte>& host, int64_t first,
                 int64_t rows) {
    Matrix matrix(rows, n_embd());
    for (int64_t i = 0; i < rows * n_embd(); ++i) {
      const int64_t at = first * n_embd() + i;
      if (backend_->dtype() == DType::kF32) {
        float value;
        std::memcpy(&value, &host[at * sizeof(value)], sizeof(value));
        matrix.values[i] = value;
      } else {
        uint16_t bits;
        std::memcpy(&bits, &host[at * sizeof(bits)], sizeof(bits));
        matrix.values[i] = Bf16ToFloat(bits);
      }
    }
    return matrix;
  }
};

TEST_P(KvTransferTest, HostMemoryIsRowMajorKeysThenValues) {
  for (const TestShape& shape : kTestShapes) {
    Make(shape.n_embd, shape.n_head, shape.ffn_size, shape.vocab_size);
    const TestLayer layer = MakeLayer();
    for (const int32_t rows : {1, 16, 37}) {
      const TestBlock block = MakeBlock(layer, 40, rows, 5);
      const std::vector<std::byte> host = Read(block.block);
      ExpectNear(Numbers(host, 0, rows), block.keys);
      ExpectNear(Numbers(host, rows, rows), block.values);
    }
  }
}

TEST_P(KvTransferTest, ABlockOfAnotherCapacityIsTheSame) {
  for (const TestShape& shape : kTestShapes) {
    Make(shape.n_embd, shape.n_head, shape.ffn_size, shape.vocab_size);
    const TestLayer layer = MakeLayer();
    const TestBlock block = FillBlock(layer, 37, Random(37, 2.0), 0);
    const std::vector<std::byte> host = Read(block.block);
    const TestBlock other = FillBlock(layer, 200, Random(37), 0);
    backend_->WriteKv(host.data(), other.block);
    EXPECT_EQ(Read(other.block), host);
  }
}

// What was in the memory before is nobody's to read, and the rows beyond stay.
TEST_P(KvTransferTest, OnlyFilledRows) {
  Make(72, 2, 100, 97);
  const TestLayer layer = MakeLayer();
  const Matrix x = Random(32);
  const TestBlock full = FillBlock(layer, 32, x, 0);
  TestBlock part = FillBlock(layer, 32, x, 0);
  part.block.rows = 11;
  const std::vector<std::byte> host = Read(part.block);
  const std::vector<std::byte> whole = Read(full.block);
  const int64_t row_bytes = KvRowsBytes(1, 72, backend_->dtype()) / 2;
  EXPECT_EQ(std::memcmp(host.data(), whole.data(), 11 * row_bytes), 0);
  EXPECT_EQ(std::memcmp(&host[11 * row_bytes], &whole[32 * row_bytes],
                        11 * row_bytes),
            0);
  const std::vector<std::byte> zeros(host.size());
  backend_->WriteKv(zeros.data(), part.block);
  EXPECT_EQ(Read(part.block), zeros);
  part.block.rows = 32;
  std::vector<std::byte> mixed = whole;
  std::memset(mixed.data(), 0, 11 * row_bytes);
  std::memset(&mixed[32 * row_bytes], 0, 11 * row_bytes);
  EXPECT_EQ(Read(part.block), mixed);
}

INSTANTIATE_TEST_SUITE_P(All, KvTransferTest, testing::ValuesIn(Backends()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace tlin
