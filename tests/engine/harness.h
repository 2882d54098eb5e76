// An engine loop that a test steps by hand, with fakes all around it.
#ifndef TLIN_TESTS_ENGINE_HARNESS_H_
#define TLIN_TESTS_ENGINE_HARNESS_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/engine_loop.h"
#include "engine/inbox.h"
#include "engine/sampling/random.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/puppet_model.h"
#include "tests/testing/recording_listener.h"
#include "tests/testing/recording_sink.h"
#include "tests/testing/silent_logger.h"
#include "tests/testing/tiny_tokenizer.h"

namespace tlin {

class Harness {
 public:
  explicit Harness(const PuppetOptions& puppet = {},
                   const EngineOptions& options = DefaultOptions(),
                   PuppetLogits logits = HashLogits,
                   std::optional<TokenId> eos = std::nullopt)
      : model(puppet, std::move(logits)),
        inbox(options.max_queued_requests, &clock),
        loop(options, &model, &tokenizer, eos, &listener, &clock, &logger,
             &inbox) {}

  static EngineOptions DefaultOptions() {
    // A step is 100 units of fills and slices: the fake clock stands still in a
    // step, so that this is so to the end.
    EngineOptions options;
    options.first_guess = {0, 0, 1e-4, {1e-4, 1e-4}};
    options.target_step = absl::Milliseconds(10);
    return options;
  }

  // A request of `prompt` tokens that are told by `salt`.
  static Request MakeRequest(int64_t prompt, int32_t max_new,
                             uint64_t salt = 1) {
    Request request;
    for (int64_t i = 0; i < prompt; ++i) {
      request.prompt.push_back(static_cast<TokenId>(
          MixBits(salt * 1000 + static_cast<uint64_t>(i)) % 26));
    }
    request.stopping.max_new_tokens = max_new;
    request.sampling.seed = salt;
    return request;
  }

  // Submits under a new id. Null where it was refused: see `refusal`.
  std::shared_ptr<RecordingSink> Submit(Request request) {
    if (request.id.empty()) request.id = absl::StrCat("request-", ++requests);
    auto sink = std::make_shared<RecordingSink>();
    refusal = inbox.Submit(std::move(request), sink);
    return refusal.ok() ? sink : nullptr;
  }

  // The same, of a session.
  std::shared_ptr<RecordingSink> SubmitTurn(const std::string& session,
                                            int64_t prompt, uint64_t salt,
                                            int32_t max_new) {
    Request request = MakeRequest(prompt, max_new, salt);
    request.session_id = session;
    return Submit(std::move(request));
  }

  void Step() {
    Inbox::Mail mail;
    inbox.Take(/*busy=*/true, &mail);
    loop.Step(&mail);
    clock.Advance(absl::Milliseconds(1));
  }

  // Runs it between two steps.
  void WithSessions(Inbox::Command command) {
    TLIN_CHECK(inbox.Post(std::move(command)).ok());
    Step();
  }
  // What `command` returns of the sessions.
  template <class Command>
  auto Ask(Command command) {
    std::optional<decltype(command(std::declval<Sessions&>()))> answer;
    WithSessions(
        [&](Sessions& sessions) { answer.emplace(command(sessions)); });
    return *std::move(answer);
  }

  // False where work is left after `steps`.
  bool RunUntilIdle(int steps = 100000) {
    Step();
    while (loop.busy() && steps-- > 0) Step();
    return !loop.busy();
  }

  // The token ids that one request gets from a harness of its own.
  static std::vector<TokenId> Alone(const PuppetOptions& puppet,
                                    const Request& request,
                                    PuppetLogits logits = HashLogits) {
    Harness harness(puppet, DefaultOptions(), std::move(logits));
    auto sink = harness.Submit(request);
    harness.RunUntilIdle();
    return sink->token_ids();
  }

  FakeClock clock;
  PuppetModel model;
  TinyTokenizer tokenizer = TinyTokenizer::Letters();
  RecordingListener listener;
  SilentLogger logger;
  Inbox inbox;
  EngineLoop loop;
  absl::Status refusal;
  int requests = 0;
};

}  // namespace tlin

#endif  // TLIN_TESTS_ENGINE_HARNESS_H_
