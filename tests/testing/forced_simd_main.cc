// main of test programs that run with a lower instruction set, too:
//   tlin_golden_test --simd=avx2 --gtest_filter=Small/*
// Exits with 77, which ctest shows as skipped, where there is no such set.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <iostream>

#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "hwy/targets.h"
#include "tests/testing/forced_simd.h"

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  int64_t forced = 0;
  if (argc > 1) {
    absl::string_view name = argv[1];
    if (!absl::ConsumePrefix(&name, "--simd=") ||
        (forced = tlin::SimdByName(name)) == 0) {
      std::cerr << argv[1] << ": want --simd=scalar, avx2, avx512 or neon\n";
      return 2;
    }
    if ((tlin::RunnableSimd() & forced) == 0) {
      std::cout << "No " << name << " in this build on this processor\n";
      return 77;
    }
    tlin::ForceSimd(forced);
  }
  std::cout << "Kernels run with " << hwy::TargetName(tlin::DispatchedSimd())
            << (forced == 0 ? "" : ", forced") << std::endl;
  const int result = RUN_ALL_TESTS();
  if (forced != 0 && tlin::DispatchedSimd() != forced) {
    std::cerr << "a test undid what --simd forced\n";
    return 1;
  }
  return result;
}
