// What Prometheus sees, over HTTP, while a real engine runs a puppet model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <regex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "grpcpp/client_context.h"
#include "server/metrics_server.h"
#include "server/outcome.h"
#include "server/state_collector.h"
#include "tests/server/server_under_test.h"
#include "tests/testing/puppet_model.h"

namespace tlin {
namespace {

using ::testing::HasSubstr;

class MetricsTest : public ::testing::Test {
 protected:
  MetricsTest() {
    EngineOptions options;
    options.max_queued_requests = 8;
    engine_ =
        Engine::Create(options, &puppet_, &server_.tokenizer, 27,
                       &server_.listener, &server_.clock, &server_.logger);
    engine_->Start();
    server_.Load(engine_.get());
    state_ = std::make_shared<StateCollector>(
        "letters", puppet_.info(), puppet_.memory(),
        [] { return HostMemory(); }, &server_.listener, engine_.get());
    MetricsServerOptions metrics_options;
    metrics_options.listen = "127.0.0.1:0";
    metrics_ = *MetricsServer::Start(metrics_options);
    metrics_->Add(server_.listener.registry());
    metrics_->Add(state_);
  }
  ~MetricsTest() override {
    puppet_.Release();
    metrics_.reset();
    engine_->Stop();
    server_.server->Shutdown(absl::ZeroDuration());
  }

  std::string Scrape() { return HttpGet(metrics_->port(), "/metrics"); }

  grpc::Status Generate(const v1::GenerateRequest& request,
                        absl::Duration deadline = absl::Minutes(5)) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + deadline));
    auto reader = server_.stub->Generate(&context, request);
    v1::GenerateResponse event;
    while (reader->Read(&event)) {
    }
    return reader->Finish();
  }

  // Reads Started, so that the request has arrived for certain, and leaves.
  void GenerateAndCancel(const v1::GenerateRequest& request) {
    grpc::ClientContext context;
    auto reader = server_.stub->Generate(&context, request);
    v1::GenerateResponse event;
    reader->Read(&event);
    context.TryCancel();
    reader->Finish();
  }

  double SumOfOutcomes() {
    const std::string scrape = Scrape();
    double sum = 0;
    for (const Outcome outcome : kOutcomes) {
      const double count = MetricValue(
          scrape,
          absl::StrCat("tlin_requests_total{model=\"letters\",outcome=\"",
                       OutcomeName(outcome), "\"}"));
      EXPECT_GE(count, 0) << OutcomeName(outcome);
      sum += count;
    }
    return sum;
  }

  PuppetModel puppet_{PuppetOptions{}};
  std::unique_ptr<Engine> engine_;
  ServerUnderTest server_;
  std::shared_ptr<StateCollector> state_;
  std::unique_ptr<MetricsServer> metrics_;
};

v1::GenerateRequest Request(int max_new_tokens) {
  v1::GenerateRequest request;
  request.set_text("the quick brown fox");
  request.mutable_stopping()->set_max_new_tokens(max_new_tokens);
  request.mutable_stopping()->set_ignore_eos(true);
  return request;
}

TEST_F(MetricsTest, EveryPromisedMetricIsThereWithTypeHelpAndLabels) {
  const std::pair<const char*, const char*> model_metrics[] = {
      {"tlin_requests_total", "counter"},
      {"tlin_time_to_first_token_seconds", "histogram"},
      {"tlin_inter_token_latency_seconds", "histogram"},
      {"tlin_request_duration_seconds", "histogram"},
      {"tlin_queue_time_seconds", "histogram"},
      {"tlin_sync_duration_seconds", "histogram"},
      {"tlin_step_duration_seconds", "histogram"},
      {"tlin_prompt_tokens_total", "counter"},
      {"tlin_generated_tokens_total", "counter"},
      {"tlin_cached_tokens_total", "counter"},
      {"tlin_synced_tokens_total", "counter"},
      {"tlin_wasted_tokens_total", "counter"},
      {"tlin_cache_hits_total", "counter"},
      {"tlin_cache_misses_total", "counter"},
      {"tlin_requests_running", "gauge"},
      {"tlin_requests_waiting", "gauge"},
      {"tlin_batch_rows", "histogram"},
      {"tlin_oldest_waiting_seconds", "gauge"},
      {"tlin_seconds_since_last_step", "gauge"},
      {"tlin_slots", "gauge"},
      {"tlin_slots_used", "gauge"},
      {"tlin_slots_high_water", "gauge"},
      {"tlin_session_cache_bytes", "gauge"},
      {"tlin_cache_usage_ratio", "gauge"},
      {"tlin_memory_bytes", "gauge"},
      {"tlin_sessions", "gauge"},
      {"tlin_step_cost_seconds", "gauge"},
      {"tlin_session_store_seconds", "histogram"},
      {"tlin_session_store_errors_total", "counter"},
      {"tlin_preemptions_total", "counter"},
      {"tlin_prefix_cache_queries_total", "counter"},
      {"tlin_prefix_cache_hits_total", "counter"}};
  const std::pair<const char*, const char*> process_metrics[] = {
      {"tlin_device_memory_bytes", "gauge"},
      {"process_resident_memory_bytes", "gauge"},
      {"tlin_draining", "gauge"},
      {"tlin_build_info", "gauge"}};
  const std::string scrape = Scrape();
  std::set<std::string> known;
  for (const auto& [name, type] : model_metrics) {
    known.insert(name);
    EXPECT_THAT(scrape, HasSubstr(absl::StrCat("# TYPE ", name, " ", type)));
    EXPECT_THAT(scrape, HasSubstr(absl::StrCat("# HELP ", name, " ")));
    const std::regex labelled(
        absl::StrCat("\n", name, "(_bucket)?\\{[^}]*model=\"letters\""));
    EXPECT_TRUE(std::regex_search(scrape, labelled)) << name;
  }
  for (const auto& [name, type] : process_metrics) {
    known.insert(name);
    EXPECT_THAT(scrape, HasSubstr(absl::StrCat("# TYPE ", name, " ", type)));
  }
  for (absl::string_view line : absl::StrSplit(scrape, '\n')) {
    if (!absl::StartsWith(line, "# TYPE ")) continue;
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    EXPECT_TRUE(known.count(words[2]) || absl::StartsWith(words[2], "exposer"))
        << words[2] << " is in no table";
  }
}

TEST_F(MetricsTest, BucketsSuitFastAndSlowModels) {
  const std::string scrape = Scrape();
  const std::regex bucket(
      "tlin_inter_token_latency_seconds_bucket\\{[^}]*le=\"([^\"]*)\"");
  std::vector<double> bounds;
  for (auto it = std::sregex_iterator(scrape.begin(), scrape.end(), bucket);
       it != std::sregex_iterator(); ++it) {
    if ((*it)[1] != "+Inf") bounds.push_back(std::stod((*it)[1]));
  }
  ASSERT_FALSE(bounds.empty());
  EXPECT_DOUBLE_EQ(bounds.front(), 50e-6);
  EXPECT_GE(bounds.back(), 120.0);
  const auto below = std::count_if(bounds.begin(), bounds.end(),
                                   [](double b) { return b < 0.1; });
  EXPECT_GE(below, 12);
}

TEST_F(MetricsTest, TokensAndCacheStepsAreCounted) {
  ASSERT_TRUE(Generate(Request(30)).ok());
  const std::string scrape = Scrape();
  const auto value = [&](const std::string& name) {
    return MetricValue(scrape, name + "{model=\"letters\"}");
  };
  EXPECT_EQ(value("tlin_prompt_tokens_total"), 19);
  EXPECT_EQ(value("tlin_generated_tokens_total"), 30);
  EXPECT_EQ(value("tlin_time_to_first_token_seconds_count"), 1);
  EXPECT_EQ(value("tlin_inter_token_latency_seconds_count"), 29);
  EXPECT_EQ(value("tlin_request_duration_seconds_count"), 1);
  EXPECT_EQ(value("tlin_queue_time_seconds_count"), 1);
  EXPECT_GE(value("tlin_cache_misses_total"), 4) << "the window holds 8";
  EXPECT_EQ(value("tlin_sync_duration_seconds_count"),
            value("tlin_cache_misses_total"));
  EXPECT_GT(value("tlin_synced_tokens_total"), 0);
  EXPECT_GT(value("tlin_cache_hits_total"), 0);
  EXPECT_GT(value("tlin_batch_rows_count"), 0);
  EXPECT_EQ(value("tlin_slots"), 4);
  EXPECT_EQ(value("tlin_slots_high_water"), 1);
  EXPECT_EQ(value("tlin_preemptions_total"), 0);
}

TEST_F(MetricsTest, AStuckEngineShowsAtScrapeTime) {
  puppet_.Block();
  std::vector<std::thread> clients;
  for (int i = 0; i < 6; ++i) {
    clients.emplace_back([&] { EXPECT_TRUE(Generate(Request(5)).ok()); });
  }
  ASSERT_TRUE(puppet_.WaitUntilBlocked());
  const std::string series = "tlin_seconds_since_last_step{model=\"letters\"}";
  const double first = MetricValue(Scrape(), series);
  double second = first;
  while (second <= first) second = MetricValue(Scrape(), series);
  EXPECT_GT(second, 0);
  puppet_.Release();
  for (std::thread& client : clients) client.join();
  ASSERT_TRUE(engine_->WaitUntilIdle(absl::Minutes(1)));
  EXPECT_EQ(MetricValue(Scrape(), series), 0);
}

TEST_F(MetricsTest, OutcomesAddUpAfterAStorm) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 12;
  std::vector<std::thread> clients;
  for (int t = 0; t < kThreads; ++t) {
    clients.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        v1::GenerateRequest request = Request(10 + t);
        switch ((t + i) % 7) {
          case 0:
            Generate(request);
            break;
          case 1:
            GenerateAndCancel(Request(4000));
            break;
          case 2:  // ends by the deadline, running or waiting
            Generate(Request(4000), absl::Milliseconds(400));
            break;
          case 3:
            request.set_model("gpt");
            Generate(request);
            break;
          case 4:
            request.mutable_sampling()->set_top_p(7);
            Generate(request);
            break;
          case 5:
            for (int id = 0; id < 28; ++id) {
              request.mutable_stopping()->add_stop_token_ids(id);
            }
            Generate(request);
            break;
          case 6: {
            grpc::ClientContext context;
            v1::ScoreRequest score;
            score.set_text("the lazy dog");
            v1::ScoreResponse response;
            server_.stub->Score(&context, score, &response);
            break;
          }
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  ASSERT_TRUE(engine_->WaitUntilIdle(absl::Minutes(1)));
  ASSERT_TRUE(server_.server->WaitForCalls(absl::Minutes(1)));
  EXPECT_EQ(SumOfOutcomes(), kThreads * kRounds);
  EXPECT_EQ(SumOfOutcomes(), server_.logger.lines().size())
      << "as many requests have ended as have come";
  const std::string scrape = Scrape();
  EXPECT_EQ(MetricValue(scrape, "tlin_slots_used{model=\"letters\"}"), 0);
  EXPECT_EQ(MetricValue(scrape, "tlin_requests_running{model=\"letters\"}"), 0);
  EXPECT_EQ(MetricValue(scrape, "tlin_requests_waiting{model=\"letters\"}"), 0);
  EXPECT_EQ(puppet_.open_slots(), 0);
  EXPECT_TRUE(puppet_.faults.empty());
}

TEST_F(MetricsTest, RefusedForWantOfRoomIsRejected) {
  puppet_.Block();
  std::vector<std::thread> clients;
  clients.emplace_back([&] { EXPECT_TRUE(Generate(Request(5)).ok()); });
  ASSERT_TRUE(puppet_.WaitUntilBlocked());
  // The loop stands still: the queue's 8 places fill up, and stay full.
  std::atomic<int> refused = 0;
  for (int i = 0; i < 20; ++i) {
    clients.emplace_back([&] {
      const grpc::Status status = Generate(Request(5));
      if (status.ok()) return;
      EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
      if (++refused == 12) puppet_.Release();
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(refused, 12);
  EXPECT_EQ(MetricValue(Scrape(),
                        "tlin_requests_total{model=\"letters\",outcome="
                        "\"rejected\"}"),
            12);
  EXPECT_EQ(SumOfOutcomes(), 21);
}

TEST_F(MetricsTest, DrainingShows) {
  EXPECT_EQ(MetricValue(Scrape(), "tlin_draining"), 0);
  server_.listener.SetDraining(true);
  EXPECT_EQ(MetricValue(Scrape(), "tlin_draining"), 1);
}

}  // namespace
}  // namespace tlin
