#include "engine/backend/cpu/aligned_buffer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>

namespace tlin {
namespace {

int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t size = 0;
  int64_t resident = 0;
  statm >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

TEST(AlignedBufferTest, IsZeroAlsoWhereMemoryIsUsedAgain) {
  for (const int64_t bytes : {int64_t{1}, int64_t{1000}, int64_t{5} << 20}) {
    for (int round = 0; round < 3; ++round) {
      auto buffer = AlignedBuffer::Allocate(bytes);
      ASSERT_TRUE(buffer.ok()) << buffer.status();
      EXPECT_TRUE(std::all_of(buffer->data(), buffer->data() + bytes,
                              [](std::byte b) { return b == std::byte{0}; }));
      std::memset(buffer->data(), 0xA5, static_cast<size_t>(bytes));
    }
  }
}

TEST(AlignedBufferTest, TakesNoMemoryUntilItIsWritten) {
  constexpr int64_t kBytes = int64_t{1} << 30;
  const int64_t before = ResidentBytes();
  auto buffer = AlignedBuffer::Allocate(kBytes);
  ASSERT_TRUE(buffer.ok()) << buffer.status();
  EXPECT_LT(ResidentBytes() - before, kBytes / 8);
  std::memset(buffer->data(), 1, kBytes / 4);
  EXPECT_GT(ResidentBytes() - before, kBytes / 8);
}

TEST(AlignedBufferTest, WhatCannotBeHadIsAStatus) {
  for (const int64_t bytes : {int64_t{-1}, INT64_MAX, INT64_MAX / 2}) {
    EXPECT_FALSE(AlignedBuffer::Allocate(bytes).ok()) << bytes;
  }
}

}  // namespace
}  // namespace tlin
