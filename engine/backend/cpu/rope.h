// Rotary position embedding: the pair (2i, 2i + 1) of each head is turned by
// the angle p * f_i, f_i = 10000^(-2i / head_size).
#ifndef TLIN_ENGINE_BACKEND_CPU_ROPE_H_
#define TLIN_ENGINE_BACKEND_CPU_ROPE_H_

#include <cstdint>
#include <vector>

namespace tlin {

// Constant after construction.
class Rope {
 public:
  // REQUIRES: head_size is even.
  explicit Rope(int32_t head_size);

  int32_t head_size() const { return head_size_; }

  // turn[0 .. head_size / 2): cosines; turn[head_size / 2 ..): sines, for one
  // position. The angle is the float32 product of the float32 position and the
  // float32 frequency; cosine and sine are of that rounded angle, to float32
  // accuracy for any angle below 2^30. About 40 FLOP in double for each pair.
  void MakeTurn(int32_t position, float* turn) const;

  // to = from with each of n_head heads turned. They may not overlap.
  void Rotate(const float* from, int32_t n_head, const float* turn,
              float* to) const;

 private:
  const int32_t head_size_;
  std::vector<float> frequencies_;  // [head_size / 2]
};

}  // namespace tlin

#endif  // TLIN_ENGINE_BACKEND_CPU_ROPE_H_
