#include "tests/testing/sha256.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace tlin {
namespace {

// The first 32 bits of the fractional part of the cube roots of the first 64
// primes.
std::array<uint32_t, 64> MakeConstants() {
  std::array<uint32_t, 64> constants;
  int prime = 2;
  for (uint32_t& constant : constants) {
    const long double root = std::cbrt(static_cast<long double>(prime));
    constant = static_cast<uint32_t>((root - std::floor(root)) * 4294967296.0L);
    const auto divides = [&prime] {
      for (int i = 2; i * i <= prime; ++i) {
        if (prime % i == 0) return true;
      }
      return false;
    };
    do {
      ++prime;
    } while (divides());
  }
  return constants;
}

uint32_t BigEndian(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 |
         uint32_t{bytes[2]} << 8 | uint32_t{bytes[3]};
}

}  // namespace

void Sha256::AddBlock(const uint8_t* block) {
  static const std::array<uint32_t, 64> constants = MakeConstants();
  std::array<uint32_t, 64> w;
  for (int i = 0; i < 16; ++i) w[i] = BigEndian(block + 4 * i);
  for (int i = 16; i < 64; ++i) {
    const uint32_t a = w[i - 15];
    const uint32_t b = w[i - 2];
    w[i] = w[i - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ (a >> 3)) +
           w[i - 7] + (std::rotr(b, 17) ^ std::rotr(b, 19) ^ (b >> 10));
  }
  auto [a, b, c, d, e, f, g, h] = state_;
  for (int i = 0; i < 64; ++i) {
    const uint32_t t1 =
        h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) +
        ((e & f) ^ (~e & g)) + constants[i] + w[i];
    const uint32_t t2 =
        (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) +
        ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + t2;
  }
  const uint32_t sums[] = {a, b, c, d, e, f, g, h};
  for (int i = 0; i < 8; ++i) state_[i] += sums[i];
}

void Sha256::Update(const void* data, size_t bytes) {
  const auto* from = static_cast<const uint8_t*>(data);
  while (bytes > 0) {
    const size_t filled = bytes_ % pending_.size();
    const size_t take = std::min(bytes, pending_.size() - filled);
    std::memcpy(pending_.data() + filled, from, take);
    bytes_ += take;
    from += take;
    bytes -= take;
    if (bytes_ % pending_.size() == 0) AddBlock(pending_.data());
  }
}

std::string Sha256::Finish() {
  const uint64_t bits = bytes_ * 8;
  const uint8_t one = 0x80;
  const uint8_t zero = 0;
  Update(&one, 1);
  while (bytes_ % 64 != 56) Update(&zero, 1);
  for (int shift = 56; shift >= 0; shift -= 8) {
    const auto byte = static_cast<uint8_t>(bits >> shift);
    Update(&byte, 1);
  }
  std::string digits;
  for (const uint32_t word : state_) {
    absl::StrAppend(&digits, absl::Hex(word, absl::kZeroPad8));
  }
  return digits;
}

}  // namespace tlin
