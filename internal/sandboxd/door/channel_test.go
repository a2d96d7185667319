package door

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// script answers one request after the other, the last answer for ever, and notes when they came and what they said. It is used inside a
// synctest bubble, where the network is not.
type script struct {
	answers []string
	at      []time.Duration
	bodies  []string
	begin   time.Time
}

// RoundTrip understands "204", "503 after 2", "hang", "down" and "401 classed".
func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.at = append(s.at, time.Since(s.begin))
	body, _ := io.ReadAll(r.Body)
	s.bodies = append(s.bodies, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization")+" "+string(body))
	answer := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	words := strings.Fields(answer)
	header := http.Header{}
	switch {
	case answer == "down":
		return nil, errors.New("connection refused")
	case answer == "hang":
		<-r.Context().Done()
		return nil, r.Context().Err()
	case len(words) == 3:
		header.Set("Retry-After", words[2])
	case len(words) == 2:
		header.Set(contract.HeaderFailureClass, "ProviderUnavailable")
	}
	status := map[string]int{"204": 204, "503": 503, "500": 500, "401": 401}[words[0]]
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

// channelTo is the part of a Door that speaks for sandboxd.
func channelTo(t *testing.T, s *script) (*Door, *notes) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("token-1"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.begin = time.Now()
	base, _, err := dialling(contract.Gateway{URL: "https://gateway", CABundle: foreignCA})
	if err != nil {
		t.Fatal(err)
	}
	told := &notes{}
	d := &Door{base: base, note: told.add, now: time.Now}
	d.calls = &caller{next: s, token: &token{path: file, now: time.Now}, now: time.Now}
	return d, told
}

func TestTheHeartBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []string{"204", "down", "down", "204"}}
		d, told := channelTo(t, s)
		ctx, stop := context.WithCancel(t.Context())
		go d.beat(ctx)
		time.Sleep(10 * time.Minute)
		stop()
		synctest.Wait()
		if n := len(s.at); n < 20 || n > 23 || s.at[0] != 0 {
			t.Errorf("%d beats in ten minutes, at %v", n, s.at)
		}
		for i := 1; i < len(s.at); i++ {
			if gap := s.at[i] - s.at[i-1]; gap > heartbeat || gap < heartbeat*9/10 {
				t.Errorf("%s between two beats", gap)
			}
		}
		if want := "POST /v1alpha1/session/heartbeat Bearer token-1 "; s.bodies[0] != want {
			t.Errorf("got %q, want %q", s.bodies[0], want)
		}
		if got := told.all(); strings.Count(got, "connection refused") != 1 {
			t.Errorf("the user is told %q", got)
		}
		time.Sleep(time.Hour)
		if n := len(s.at); n > 23 {
			t.Error("it beats on")
		}
	})
}

func TestAHangingGatewayDoesNotStopTheHeart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []string{"hang"}}
		d, _ := channelTo(t, s)
		ctx, stop := context.WithCancel(t.Context())
		go d.beat(ctx)
		time.Sleep(10 * time.Minute)
		stop()
		synctest.Wait()
		if n := len(s.at); n < 10 {
			t.Errorf("%d beats in ten minutes", n)
		}
	})
}

func TestTheReportIsTriedAFewTimes(t *testing.T) {
	cases := map[string]struct {
		answers []string
		stop    time.Duration
		tries   int
		atMost  time.Duration
		err     string
	}{
		"it is taken":                {[]string{"204"}, 0, 1, 0, ""},
		"it is taken in the end":     {[]string{"down", "500", "204"}, 0, 3, 2 * time.Second, ""},
		"it is taken after a moment": {[]string{"503 after 1", "204"}, 0, 2, time.Second, ""},
		"it is never taken":          {[]string{"500"}, 0, 3, 2 * time.Second, "unexpected status 500"},
		"nobody answers":             {[]string{"hang"}, 0, 3, reportTime, "deadline exceeded"},
		"not ready for long":         {[]string{"503 after 60"}, 0, 3, reportTime, "deadline exceeded"},
		"there is no time":           {[]string{"hang"}, time.Second, 1, time.Second, "canceled"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: c.answers}
				d, _ := channelTo(t, s)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.stop > 0 {
					time.AfterFunc(c.stop, cancel)
				}
				err := d.Report(ctx, []byte(`{"outcome":"Succeeded"}`))
				if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %v, want %q", err, c.err)
				}
				if took := time.Since(s.begin); took > c.atMost {
					t.Errorf("it took %s", took)
				}
				if len(s.at) != c.tries {
					t.Errorf("%d tries, at %v", len(s.at), s.at)
				}
				for _, body := range s.bodies {
					if diff := cmp.Diff(`POST /v1alpha1/session/report Bearer token-1 {"outcome":"Succeeded"}`, body); diff != "" {
						t.Errorf("at the gateway (-want +got):\n%s", diff)
					}
				}
			})
		})
	}
}

// The gateway learns of a new pod a moment after the pod has begun to ask.
func TestAGatewayThatDoesNotKnowThePodYetIsWaitedFor(t *testing.T) {
	cases := map[string]struct {
		answers  []string
		streamed bool
		tries    int
		waited   time.Duration
		status   int
	}{
		"a moment later it does":        {[]string{"503 after 2", "503 after 1", "204"}, false, 3, 3 * time.Second, 204},
		"a wish for no time":            {[]string{"503 after 0", "204"}, false, 2, minPause, 204},
		"a wish for a long time is cut": {[]string{"503 after 3600", "204"}, false, 2, maxPause, 204},
		"it never does":                 {[]string{"503 after 3"}, false, 8, 21 * time.Second, 503},
		"no time was named":             {[]string{"503", "204"}, false, 1, 0, 503},
		"a provider's own answer":       {[]string{"503 classed", "204"}, false, 1, 0, 503},
		"a body that is gone":           {[]string{"503 after 1", "204"}, true, 1, 0, 503},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: c.answers}
				d, _ := channelTo(t, s)
				body := io.Reader(strings.NewReader("{}"))
				if c.streamed {
					body = io.MultiReader(body)
				}
				r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://gateway/x", body)
				answer, err := d.calls.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				discard(answer)
				if answer.StatusCode != c.status || len(s.at) != c.tries || time.Since(s.begin) != c.waited {
					t.Errorf("status %d after %d tries and %s", answer.StatusCode, len(s.at), time.Since(s.begin))
				}
				for _, body := range s.bodies {
					if !strings.HasSuffix(body, " {}") {
						t.Errorf("a try had the body %q", body)
					}
				}
			})
		})
	}
}

func FuzzSplit(f *testing.F) {
	for _, seed := range []string{"/", "/a", "/a/b?c", "//a", "*", "", "http://x/a", "/a%2fb/c", "?", "/a?b/c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		provider, path, ok := split(target)
		if !ok {
			return
		}
		before, _, _ := strings.Cut(target, "?")
		if "/"+provider+path != before || strings.Contains(provider, "/") || path != "" && path[0] != '/' {
			t.Errorf("%q: %q and %q", target, provider, path)
		}
	})
}

func TestTimesToRetry(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "x": 0, "-1": 0, "0": 0, "12": 12 * time.Second, "1.5": 0, "99999999999999999999": 0, "90000": maxRetryAfter,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
	if got := retryAfter(http.Header{"Retry-After": {"60"}, contract.HeaderRetryAfter: {"18000"}}, now); got != 5*time.Hour {
		t.Errorf("what the gateway says apart: got %s", got)
	}
}
