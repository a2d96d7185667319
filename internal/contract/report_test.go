package contract

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// wholeReport has every field set.
func wholeReport() Report {
	return Report{
		Outcome: OutcomeFailed, Class: ProviderRateLimited, Message: "The provider asked for patience", RetryAfterSeconds: 30,
		Summary: "Changed \"login.go\"\n{\"outcome\":\"Succeeded\"}",
		Commits: []Commit{{Repository: "https://git.example/app.git", Branch: "sandkeep/fix", Commit: "0123456789abcdef", Pushed: true}},
		Usage:   Usage{Requests: 3, InputTokens: 200, OutputTokens: 10}, PushStarted: true, UnsavedChanges: true, LooseFiles: true,
	}
}

func success() Report {
	return Report{Outcome: OutcomeSucceeded, Summary: "Done"}
}

func TestReportSurvivesTheTerminationMessage(t *testing.T) {
	cases := map[string]Report{
		"a success":                       success(),
		"a success without a word":        {Outcome: OutcomeSucceeded},
		"a failure with everything in it": wholeReport(),
		"text in other scripts":           {Outcome: OutcomeSucceeded, Summary: "Füße <b>日本</b> & 🙂\n\ttabbed"},
	}
	for _, class := range failureClasses {
		cases["a failure of class "+string(class)] = Report{Outcome: OutcomeFailed, Class: class, Message: "Because"}
	}
	for name, want := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeReport(string(encode(t, want, 4096)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyAWholeReportIsDecoded(t *testing.T) {
	cases := map[string]string{
		"nothing":                                 "",
		"white space":                             " \n",
		"words":                                   "Succeeded",
		"a word in JSON":                          `"Succeeded"`,
		"null":                                    "null",
		"an empty object":                         "{}",
		"a list":                                  `[{"outcome":"Succeeded"}]`,
		"an unknown outcome":                      `{"outcome":"Done"}`,
		"an outcome in another case":              `{"outcome":"succeeded"}`,
		"an outcome that is no string":            `{"outcome":true}`,
		"a success with a failure class":          `{"outcome":"Succeeded","class":"AgentCrashed"}`,
		"a failure without a class":               `{"outcome":"Failed","message":"Because"}`,
		"a failure class without an outcome":      `{"class":"AgentCrashed"}`,
		"a failure of a class that nobody knows":  `{"outcome":"Failed","class":"Bad luck"}`,
		"a failure that only the manager can see": `{"outcome":"Failed","class":"NodeLost"}`,
		"two reports":                             `{"outcome":"Succeeded"}{"outcome":"Succeeded"}`,
		"a report and more":                       `{"outcome":"Succeeded"} and then`,
		"a report cut by one byte":                `{"outcome":"Succeeded"`,
		"a report after a log line":               "panic: boom\n" + `{"outcome":"Succeeded"}`,
		"a field of the wrong type":               `{"outcome":"Succeeded","commits":"none"}`,
		"a number that does not fit":              `{"outcome":"Succeeded","usage":{"requests":1e99}}`,
	}
	for name, message := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeReport(message)
			if err == nil {
				t.Fatalf("DecodeReport(%q) took it for a report", message)
			}
			if diff := cmp.Diff(Report{}, got); diff != "" {
				t.Errorf("with the error came (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoPartOfAReportIsAReport(t *testing.T) {
	for name, report := range map[string]Report{"a success": success(), "a failure that quotes a success": wholeReport()} {
		t.Run(name, func(t *testing.T) {
			data := string(encode(t, report, 4096))
			for from := range len(data) {
				for to := from; to < len(data)+min(from, 1); to++ {
					if _, err := DecodeReport(data[from:to]); err == nil {
						t.Fatalf("%q was taken for a report", data[from:to])
					}
				}
			}
		})
	}
}

func FuzzASuccessIsNeverDecodedFromATruncatedReport(f *testing.F) {
	f.Add("Done", "", false, uint16(0), uint16(3))
	f.Add(`{"outcome":"Succeeded"}`, `\"}`, true, uint16(9), uint16(1))
	f.Fuzz(func(t *testing.T, summary, message string, failed bool, from, cut uint16) {
		report := Report{Outcome: OutcomeSucceeded, Summary: summary, Message: message}
		if failed {
			report.Outcome, report.Class = OutcomeFailed, AgentCrashed
		}
		data, err := json.Marshal(report)
		if err != nil {
			t.Skip("not a report that can be written")
		}
		start := int(from) % len(data)
		end := len(data) - int(cut)%(len(data)-start)
		if start == 0 && end == len(data) {
			end--
		}
		if got, err := DecodeReport(string(data[start:end])); err == nil {
			t.Errorf("%q was decoded as %+v", data[start:end], got)
		}
	})
}

func TestAReportIsFittedIntoItsLimit(t *testing.T) {
	commits := []Commit{
		{Repository: "https://git.example/first.git", Branch: "b", Commit: "1111111", Pushed: true},
		{Repository: "https://git.example/second.git", Branch: "b", Commit: "2222222", Pushed: true},
	}
	long := strings.Repeat("word ", 400)
	cases := map[string]struct {
		report Report
		limit  int
		kept   func(Report) any
		want   any
	}{
		"what fits is left alone": {
			Report{Outcome: OutcomeSucceeded, Summary: "Done"}, 64, func(r Report) any { return r.Summary }, "Done",
		},
		"a short message outlives a long summary": {
			Report{Outcome: OutcomeFailed, Class: PushRejected, Message: "Rejected", Summary: long}, 512,
			func(r Report) any { return r.Message }, "Rejected",
		},
		"a short summary outlives a long message": {
			Report{Outcome: OutcomeFailed, Class: PushRejected, Message: long, Summary: "Done"}, 512,
			func(r Report) any { return r.Summary }, "Done",
		},
		"commits outlive the length of texts": {
			Report{Outcome: OutcomeSucceeded, Summary: long, Commits: commits}, 512, func(r Report) any { return r.Commits }, commits,
		},
		"the first commits outlive the last": {
			Report{Outcome: OutcomeSucceeded, Summary: "Done", Commits: commits}, 160, func(r Report) any { return r.Commits }, commits[:1],
		},
		"outcome and class outlive short texts that JSON makes long": {
			Report{Outcome: OutcomeFailed, Class: AgentCrashed, Message: strings.Repeat("<", 100), Summary: strings.Repeat("&", 100)}, 200,
			func(r Report) any { return r }, Report{Outcome: OutcomeFailed, Class: AgentCrashed},
		},
		"that a push began and work is lost outlives every text": {
			Report{Outcome: OutcomeFailed, Class: AgentCrashed, Message: "Because", Summary: "Words", PushStarted: true, UnsavedChanges: true, LooseFiles: true}, 115,
			func(r Report) any { return r }, Report{Outcome: OutcomeFailed, Class: AgentCrashed, PushStarted: true, UnsavedChanges: true, LooseFiles: true},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			data := encode(t, c.report, c.limit)
			got, err := DecodeReport(string(data))
			if err != nil {
				t.Fatalf("%s: %v", data, err)
			}
			if diff := cmp.Diff(c.want, c.kept(got)); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryLimitIsKeptToTheByte(t *testing.T) {
	whole := len(encode(t, wholeReport(), 4096))
	for limit := whole; limit > 200; limit-- {
		if got, err := DecodeReport(string(encode(t, wholeReport(), limit))); err != nil || got.Class != ProviderRateLimited {
			t.Errorf("limit %d: class %q, error %v", limit, got.Class, err)
		}
	}
}

func TestALimitTooSmallForAnyReportIsAnError(t *testing.T) {
	if data, err := success().Encode(8); err == nil {
		t.Errorf("a report in 8 bytes: %s", data)
	}
}

func TestEncodingLeavesTheReportAsItWas(t *testing.T) {
	report := wholeReport()
	encode(t, report, 200)
	if diff := cmp.Diff(wholeReport(), report); diff != "" {
		t.Errorf("report (-before +after):\n%s", diff)
	}
}

// barest is enough for a report without texts and commits, whatever its numbers are.
const barest = 320

func FuzzAnEncodedReportKeepsItsLimitAndItsVerdict(f *testing.F) {
	f.Add("Done", "", "https://git.example/app.git", uint8(2), false, uint16(128))
	f.Add(strings.Repeat("<&>", 300), strings.Repeat("日", 300), "r", uint8(10), true, uint16(400))
	f.Add("\xff\xfe"+strings.Repeat("\x80", 300), "\x00", "", uint8(0), true, uint16(330))
	f.Fuzz(func(t *testing.T, summary, message, repository string, commits uint8, failed bool, limit uint16) {
		report := Report{Outcome: OutcomeSucceeded, Summary: summary, Message: message, PushStarted: true}
		if failed {
			report.Outcome, report.Class = OutcomeFailed, ProviderAuthenticationFailed
		}
		for range commits % 16 {
			report.Commits = append(report.Commits, Commit{Repository: repository, Commit: "0123456"})
		}
		data, err := report.Encode(int(limit))
		if err != nil {
			if limit >= barest {
				t.Errorf("limit %d: %v", limit, err)
			}
			return
		}
		if len(data) > int(limit) || !utf8.Valid(data) {
			t.Errorf("limit %d: %d bytes, UTF-8 %t", limit, len(data), utf8.Valid(data))
		}
		got, err := DecodeReport(string(data))
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		verdict := func(r Report) Report { return Report{Outcome: r.Outcome, Class: r.Class, PushStarted: r.PushStarted} }
		if diff := cmp.Diff(verdict(report), verdict(got)); diff != "" {
			t.Errorf("verdict (-want +got):\n%s", diff)
		}
	})
}

func encode(t *testing.T, r Report, limit int) []byte {
	t.Helper()
	data, err := r.Encode(limit)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > limit {
		t.Fatalf("%d bytes, but the limit is %d: %s", len(data), limit, data)
	}
	return data
}
