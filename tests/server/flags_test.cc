#include "server/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace tlin {
namespace {

using ::testing::HasSubstr;

TEST(FlagsTest, Defaults) {
  const auto flags = ParseFlags({"--model=/models/tiny"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->model, "/models/tiny");
  EXPECT_EQ(flags->model_name, "tiny");
  EXPECT_EQ(flags->listen, "127.0.0.1:50051");
  EXPECT_EQ(flags->metrics_listen, "127.0.0.1:9464");
  EXPECT_EQ(flags->max_message_bytes, 16 << 20);
  EXPECT_TRUE(flags->log_requests);
  EXPECT_EQ(flags->slots, 0);
  EXPECT_EQ(flags->max_sessions, 4096);
  EXPECT_EQ(flags->target_step, absl::Milliseconds(20));
  EXPECT_EQ(flags->prefix_cache_bytes, 256 << 20);
}

TEST(FlagsTest, BothSpellingsAndSwitches) {
  const auto flags = ParseFlags({"--model",
                                 "dir/name/",
                                 "--listen",
                                 "0.0.0.0:0",
                                 "--device=cuda:1",
                                 "--dtype",
                                 "bf16",
                                 "--max_sessions=3",
                                 "--drain_seconds",
                                 "0.5",
                                 "--target_step_ms=2.5",
                                 "--prefix_cache_bytes=0",
                                 "--log_requests=false",
                                 "--stall_seconds=2",
                                 "--threads",
                                 "2",
                                 "--max_context_tokens=1000",
                                 "--port_file=/tmp/p",
                                 "--model_name=m",
                                 "--derived_history=on",
                                 "--insecure"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->model, "dir/name/");
  EXPECT_EQ(flags->model_name, "m");
  EXPECT_EQ(flags->listen, "0.0.0.0:0");
  EXPECT_EQ(flags->device, "cuda:1");
  EXPECT_EQ(flags->dtype, "bf16");
  EXPECT_EQ(flags->derived_history, "on");
  EXPECT_EQ(flags->max_sessions, 3);
  EXPECT_EQ(flags->max_context_tokens, 1000);
  EXPECT_EQ(flags->drain, absl::Milliseconds(500));
  EXPECT_EQ(flags->target_step, absl::Milliseconds(2.5));
  EXPECT_EQ(flags->prefix_cache_bytes, 0);
  EXPECT_EQ(flags->stall, absl::Seconds(2));
  EXPECT_FALSE(flags->log_requests);
  EXPECT_EQ(flags->threads, 2);
  EXPECT_EQ(flags->port_file, "/tmp/p");
}

TEST(FlagsTest, NameOfADirectory) {
  EXPECT_EQ(ParseFlags({"--model=a/b///"})->model_name, "b");
  EXPECT_EQ(ParseFlags({"--model=b"})->model_name, "b");
  EXPECT_FALSE(ParseFlags({"--model=."})->model_name.empty());
}

struct BadCase {
  std::vector<std::string> args;
  std::string message;
};

class BadFlagsTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadFlagsTest, IsRefusedByName) {
  std::vector<std::string> args = GetParam().args;
  const auto flags = ParseFlags(args);
  ASSERT_FALSE(flags.ok());
  EXPECT_EQ(flags.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(flags.status().message()),
              HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadFlagsTest,
    ::testing::Values(
        BadCase{{}, "--model: a model directory is required"},
        BadCase{{"--model=m", "--target_step_ms=0"},
                "--target_step_ms=0: want milliseconds from 0.1"},
        BadCase{{"--model=m", "--target_step_ms=nan"}, "--target_step_ms=nan"},
        BadCase{{"--model="}, "--model=: want a value"},
        BadCase{{"--model"}, "--model: wants DIR"},
        BadCase{{"--modle=x"}, "--modle: no such flag; did you mean --model?"},
        BadCase{{"--frobnicate"}, "--frobnicate: no such flag; see --help"},
        BadCase{{"model"}, "'model' is not a flag"},
        BadCase{{"--model=m", "--listen=nowhere"},
                "--listen=nowhere: want HOST:PORT"},
        BadCase{{"--model=m", "--listen=:1"}, "--listen=:1: want HOST:PORT"},
        BadCase{{"--model=m", "--listen=h:65536"}, "port from 0 to 65535"},
        BadCase{{"--model=m", "--metrics_listen=h:-1"},
                "--metrics_listen=h:-1: want HOST:PORT"},
        BadCase{{"--model=m", "--device=gpu"}, "auto, cpu or cuda:N"},
        BadCase{{"--model=m", "--device=cuda:x"}, "auto, cpu or cuda:N"},
        BadCase{{"--model=m", "--dtype=f16"}, "--dtype=f16: want auto, f32"},
        BadCase{{"--model=m", "--derived_history=1"},
                "--derived_history=1: want auto, on or off"},
        BadCase{{"--model=m", "--max_sessions=0"},
                "--max_sessions=0: want a whole number from 1 to 1000000"},
        BadCase{{"--model=m", "--slots=4097"},
                "--slots=4097: want a whole number from 0 to 4096"},
        BadCase{{"--model=m", "--session_ttl_seconds=0"},
                "--session_ttl_seconds=0: want seconds from 0.001 to 31622400"},
        BadCase{{"--model=m", "--max_sessions=many"}, "--max_sessions=many"},
        BadCase{{"--model=m", "--max_context_tokens=-1"},
                "--max_context_tokens=-1"},
        BadCase{{"--model=m", "--max_message_bytes=99999999999999999999"},
                "--max_message_bytes="},
        BadCase{{"--model=m", "--threads=1.5"}, "--threads=1.5"},
        BadCase{{"--model=m", "--drain_seconds=nan"},
                "--drain_seconds=nan: want seconds"},
        BadCase{{"--model=m", "--drain_seconds=-0.1"},
                "--drain_seconds=-0.1: want seconds from 0 to 86400"},
        BadCase{{"--model=m", "--stall_seconds=0"},
                "--stall_seconds=0: want seconds from 0.01 to 86400"},
        BadCase{{"--model=m", "--log_requests=maybe"}, "want true or false"}));

INSTANTIATE_TEST_SUITE_P(
    Credentials, BadFlagsTest,
    ::testing::Values(
        BadCase{{"--model=m", "--tls_cert=c"}, "--tls_cert, --tls_key: want"},
        BadCase{{"--model=m", "--tls_key=k"}, "--tls_cert, --tls_key: want"},
        BadCase{{"--model=m", "--tls_client_ca=a"},
                "--tls_client_ca: wants --tls_cert"},
        BadCase{{"--model=m", "--metrics_listen=https://127.0.0.1:1"},
                "--metrics_listen: https:// wants --tls_cert"},
        BadCase{{"--model=m", "--listen=0.0.0.0:1"},
                "--listen=0.0.0.0:1: others can reach it: want --token_file"},
        BadCase{{"--model=m", "--listen=[::]:1"}, "others can reach it"},
        BadCase{{"--model=m", "--listen=10.0.0.1:1"}, "others can reach it"},
        BadCase{{"--model=m", "--listen=example.com:1"}, "others can reach it"},
        BadCase{{"--model=m", "--listen=127.example.com:1"},
                "others can reach it"},
        BadCase{
            {"--model=m", "--listen=0.0.0.0:1", "--tls_cert=c", "--tls_key=k"},
            "others can reach it"},
        BadCase{{"--model=m", "--metrics_listen=0.0.0.0:1", "--token_file=t"},
                "--metrics_listen=0.0.0.0:1: others can reach it: want "
                "--metrics_password_file"}));

TEST(FlagsTest, OthersMayReachWhatAsksForCredentials) {
  for (const std::vector<std::string>& args :
       std::vector<std::vector<std::string>>{
           {"--listen=0.0.0.0:1", "--token_file=t"},
           {"--listen=0.0.0.0:1", "--tls_cert=c", "--tls_key=k",
            "--tls_client_ca=a"},
           {"--listen=0.0.0.0:1", "--metrics_listen=0.0.0.0:2", "--insecure"},
           {"--metrics_listen=0.0.0.0:2", "--metrics_password_file=p"},
           {"--listen=[::1]:1", "--metrics_listen=localhost:2"},
           {"--listen=127.1.2.3:1"}}) {
    std::vector<std::string> with_model = args;
    with_model.push_back("--model=m");
    EXPECT_TRUE(ParseFlags(with_model).ok()) << args[0];
  }
}

TEST(FlagsTest, MetricsAreEncryptedByTheirScheme) {
  const auto flags =
      ParseFlags({"--model=m", "--metrics_listen=https://127.0.0.1:2",
                  "--tls_cert=c", "--tls_key=k"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_TRUE(flags->metrics_tls);
  EXPECT_EQ(flags->metrics_listen, "127.0.0.1:2");
  EXPECT_FALSE(ParseFlags({"--model=m", "--metrics_listen=http://127.0.0.1:2"})
                   ->metrics_tls);
}

TEST(FlagsTest, AllFaultsAreToldAtOnce) {
  const auto flags = ParseFlags({"--threads=x", "--dtype=y", "--nope=1"});
  ASSERT_FALSE(flags.ok());
  const std::string message(flags.status().message());
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 2);
  EXPECT_THAT(message, HasSubstr("--threads=x"));
  EXPECT_THAT(message, HasSubstr("--dtype=y"));
  EXPECT_THAT(message, HasSubstr("--nope"));
}

TEST(FlagsTest, HelpAndVersionNeedNothingElse) {
  EXPECT_TRUE(ParseFlags({"--help"})->help);
  EXPECT_TRUE(ParseFlags({"--version"})->version);
}

TEST(FlagsTest, HelpListsEveryFlagAndTheyStayFew) {
  const std::string help = FlagsHelp();
  size_t flags = 0;
  for (size_t at = 0; (at = help.find("\n  --", at)) != std::string::npos;
       ++at) {
    ++flags;
  }
  EXPECT_GE(flags, 15u);
  EXPECT_LT(flags, 35u);
  EXPECT_THAT(help, HasSubstr("--stall_seconds=S"));
}

}  // namespace
}  // namespace tlin
