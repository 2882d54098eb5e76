#include "client/interrupt.h"

#include <future>
#include <optional>
#include <thread>

#include "gtest/gtest.h"

namespace tlin::client {
namespace {

TEST(InterruptTest, TellsTheListenerOnce) {
  Interrupt interrupt;
  EXPECT_FALSE(interrupt.Fire());
  int calls = 0;
  {
    const Interrupt::Scope scope(&interrupt, [&] { ++calls; });
    EXPECT_FALSE(scope.fired());
    EXPECT_TRUE(interrupt.Fire());
    EXPECT_TRUE(scope.fired());
    EXPECT_FALSE(interrupt.Fire());
  }
  EXPECT_FALSE(interrupt.Fire());
  EXPECT_EQ(calls, 1);
  const Interrupt::Scope next(&interrupt, [&] { ++calls; });
  EXPECT_TRUE(interrupt.Fire());
  EXPECT_EQ(calls, 2);
}

TEST(InterruptTest, AScopeEndsAfterItsCall) {
  Interrupt interrupt;
  std::promise<void> called, go_on;
  bool over = false;  // written by the call, read after the scope's end
  std::optional<Interrupt::Scope> scope;
  scope.emplace(&interrupt, [&] {
    called.set_value();
    go_on.get_future().wait();
    over = true;
  });
  std::thread firing([&] { interrupt.Fire(); });
  called.get_future().wait();
  std::thread ending([&] {
    scope.reset();
    EXPECT_TRUE(over);
  });
  go_on.set_value();
  ending.join();
  firing.join();
}

}  // namespace
}  // namespace tlin::client
