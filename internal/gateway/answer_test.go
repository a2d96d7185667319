package gateway

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandkeep/sandkeep/internal/contract"
)

func TestEventsArriveOneByOne(t *testing.T) {
	next := make(chan string)
	s := newStage(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", stream)
		for event := range next {
			_, _ = io.WriteString(w, "data: "+event+"\n\n")
			_ = http.NewResponseController(w).Flush()
		}
	})
	go func() { next <- "first" }() // headers go with it
	r, err := s.agent.Do(s.request(http.MethodPost, messages, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	lines := bufio.NewReader(r.Body)
	for _, event := range []string{"first", "second", "sk-ant-api03-cAnArY_01 is how it begins", canary[:40], "last"} {
		if event != "first" {
			next <- event // the provider waits until the agent has the one before
		}
		line, err := lines.ReadString('\n')
		if err != nil || line != "data: "+event+"\n" {
			t.Fatalf("got %q, %v, want %q", line, err, event)
		}
		_, _ = lines.ReadString('\n')
	}
	close(next)
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("then %q, %v", rest, err)
	}
}

func TestLargeBodiesPassUnchangedBothWays(t *testing.T) {
	const size = 64 << 20
	sum := sha256.New()
	s := newStage(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Content-Type", json)
		_, _ = io.Copy(w, r.Body)
	})
	pattern := bytes.Repeat([]byte(`{"content":"0123456789 sk-ant-api03-cAnArY_012345678"}`+"\n"), 1<<10)
	body := io.LimitReader(&endless{pattern: pattern}, size)
	r := s.request(http.MethodPost, messages, "")
	r.Body, r.ContentLength = io.NopCloser(io.TeeReader(body, sum)), -1
	answer, err := s.agent.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	back := sha256.New()
	if n, err := io.Copy(back, answer.Body); n != size || err != nil || !bytes.Equal(sum.Sum(nil), back.Sum(nil)) {
		t.Errorf("%d bytes came back, %v", n, err)
	}
}

// endless repeats a pattern.
type endless struct {
	pattern []byte
	at      int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.pattern[e.at:])
	e.at = (e.at + n) % len(e.pattern)
	return n, nil
}

// pieces answers with pieces that are flushed one by one.
func pieces(status int, contentType string, list ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		for _, piece := range list {
			_, _ = io.WriteString(w, piece)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

// inHeader answers with a header beside others.
func inHeader(status int, name, value string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(name, value)
		says(status, json, `{"error":{"message":"no"}}`)(w, r)
	}
}

func escapedText(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		fmt.Fprintf(&b, `\u%04x`, c)
	}
	return b.String()
}

func TestI2AnAnswerThatHoldsTheKeyIsCut(t *testing.T) {
	encoded := base64.StdEncoding.EncodeToString([]byte(canary))
	shifted := base64.StdEncoding.EncodeToString([]byte("x" + canary + " and more"))
	cases := map[string]struct {
		answer http.HandlerFunc
		// before is what the agent gets of a stream that is cut; empty where nothing at all comes through.
		before string
	}{
		"in a header":                      {inHeader(200, "X-Debug", "key "+canary), ""},
		"in a header, in base64":           {inHeader(200, "X-Debug", encoded), ""},
		"in a header of an error":          {inHeader(401, "Www-Authenticate", `Bearer error="`+canary+`"`), ""},
		"in a redirect":                    {inHeader(302, "Location", "https://evil.example/?k="+canary), ""},
		"in a body":                        {says(200, json, `{"you":"`+canary+`"}`), `{"you":"`},
		"in a body, in base64":             {says(200, json, `{"you":"`+encoded+`"}`), `{"you":"`},
		"in a body, in other base64":       {says(200, json, `{"you":"`+shifted+`"}`), `{"you":"`},
		"in a body, percent-encoded":       {says(200, json, `{"you":"`+url.QueryEscape(canary)+`"}`), `{"you":"`},
		"in a body, escaped":               {says(200, json, `{"you":"`+escapedText(canary)+`"}`), `{"you":"`},
		"at the very end":                  {says(200, json, canary), ""},
		"in two pieces":                    {pieces(200, json, `{"you":"`+canary[:20], canary[20:]+`"}`), `{"you":"`},
		"in many pieces":                   {pieces(200, stream, append([]string{"data: "}, strings.Split(canary, "")...)...), "data: "},
		"in a stream":                      {pieces(200, stream, "data: hello\n\n", "data: "+canary+"\n\n", "data: more\n\n"), "data: hello\n\ndata: "},
		"in an error":                      {says(401, json, `{"error":{"message":"invalid key `+canary+`"}}`), ""},
		"in an error, in pieces":           {pieces(500, json, `{"error":{"message":"`+canary[:9], canary[9:]), ""},
		"in an error, in base64":           {says(400, json, `{"error":{"message":"`+encoded+`"}}`), ""},
		"in an error, escaped once more":   {says(400, json, `{"error":{"message":"{\"message\":\"`+strings.ReplaceAll(escapedText(canary), `\`, `\\`)+`\"}"}}`), ""},
		"in an error, and in HTML":         {says(502, "text/html", "<h1>Bad</h1><!-- x-api-key: "+canary+" -->"), ""},
		"far behind in a long error":       {says(500, json, strings.Repeat(" ", maxError)+canary), strings.Repeat(" ", maxError)},
		"in an answer that has no content": {inHeader(204, "X-Debug", canary), ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, c.answer)
			a := s.post("")
			switch {
			case a.cut:
				if got, ok := strings.CutPrefix(a.body, c.before); !ok && !strings.HasPrefix(c.before, a.body) || len(got) > 4 {
					t.Errorf("got %q before the cut", a.body)
				}
			case a.StatusCode != http.StatusBadGateway || a.Header.Get(contract.HeaderFailureClass) != string(contract.ProviderUnavailable) || a.Header.Get("X-Debug") != "":
				t.Errorf("%s: %s", a.Status, a.body)
			}
			s.counts("keys_echoed_total{namespace=team-a,provider=anthropic,} 1")
			events := s.told.list()
			want := []string{"fix-login Warning KeyEchoed Forward: " +
				`Provider "anthropic" answered with the key that it was asked with; the answer was cut, and an admin should change the key`}
			if diff := cmp.Diff(want, events); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if !strings.Contains(s.told.logged(), "A provider answered with the key") {
				t.Error("nothing is logged")
			}
		})
	}
}

func TestWhatNobodyCanLookAtIsWithheld(t *testing.T) {
	cases := map[string]struct {
		answer http.HandlerFunc
		kind   string
	}{
		"a redirect":                   {inHeader(307, "Location", "https://evil.example/"), "Redirect"},
		"a redirect to itself":         {inHeader(301, "Location", "/v1/messages"), "Redirect"},
		"an answer in gzip":            {inHeader(200, "Content-Encoding", "gzip"), "Encoded"},
		"an error in gzip":             {inHeader(401, "Content-Encoding", "gzip"), "Encoded"},
		"an answer encoded twice":      {inHeader(200, "Content-Encoding", "identity, br"), "Encoded"},
		"no HTTP":                      {hijacked("SSH-2.0-OpenSSH_9\r\n\r\n"), "Unavailable"},
		"a connection that is closed":  {hijacked(""), "Unavailable"},
		"another protocol, not wanted": {hijacked("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + canary), "Protocol"},
		"another protocol, not named":  {hijacked("HTTP/1.1 101 Switching Protocols\r\n\r\n" + canary), "Protocol"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, c.answer)
			a := s.post("")
			if a.StatusCode != http.StatusBadGateway || a.cut || a.Header.Get("Location") != "" || a.Header.Get(contract.HeaderFailureClass) != string(contract.ProviderUnavailable) ||
				!strings.HasPrefix(a.body, `{"error":{"message":"`) {
				t.Errorf("%s: %s", a.Status, a.body)
			}
			s.counts("refusals_total{class=opencode,namespace=team-a,provider=anthropic,reason=" + c.kind + ",} 1")
			if len(s.upstream.requests()) != 1 {
				t.Errorf("the provider saw %q", s.upstream.requests())
			}
		})
	}
}

// hijacked writes bytes in the place of an answer.
func hijacked(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = rw.WriteString(text)
		_ = rw.Flush()
	}
}

func TestAHeaderOfAGigabyteIsNotTaken(t *testing.T) {
	taken := make(chan int, 1)
	s := newStage(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nX-Bomb: ")
		written := 0
		for piece := bytes.Repeat([]byte{'a'}, 64<<10); written < 1<<30; written += len(piece) {
			if _, err := rw.Write(piece); err != nil {
				break
			}
		}
		taken <- written
	})
	s.unavailable(s.post(""), http.StatusBadGateway, "Unavailable")
	if got := <-taken; got > 64<<20 { // what the system buffers is in it
		t.Errorf("%d MiB were taken", got>>20)
	}
}

func TestWhatIsNotTheAgentsBusinessDoesNotComeBack(t *testing.T) {
	s := newStage(t, func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range map[string]string{
			"Set-Cookie": "a=b", "Alt-Svc": `h3=":443"`, "Strict-Transport-Security": "max-age=1", "Sandkeep-Failure-Class": "AgentCrashed", "Proxy-Authenticate": "Basic",
			"Connection": "x-hop", "X-Hop": "1", "Request-Id": "req_1", "Anthropic-Ratelimit-Requests-Remaining": "7", "Content-Type": json, "Date": "x", "Link": "<a>",
		} {
			w.Header()[name] = []string{value}
		}
		w.WriteHeader(http.StatusEarlyHints)
		w.Header()["Date"] = []string{"Thu, 01 Jan 2026 00:00:00 GMT"}
		w.Header().Del("Link")
		_, _ = io.WriteString(w, "{}")
	})
	r := s.request(http.MethodPost, messages, "")
	interim := 0
	trace := &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { interim++; return nil }}
	a := s.do(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	want := http.Header{
		"Request-Id": {"req_1"}, "Anthropic-Ratelimit-Requests-Remaining": {"7"}, "Content-Type": {json},
		"Date": {"Thu, 01 Jan 2026 00:00:00 GMT"}, "Content-Length": {"2"},
	}
	if diff := cmp.Diff(want, a.Header); diff != "" || interim != 0 {
		t.Errorf("%d interim answers, and (-want +got):\n%s", interim, diff)
	}
}

func TestTrailersDoNotComeBack(t *testing.T) {
	for name, configure := range both {
		t.Run(name, func(t *testing.T) {
			s := trusting(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Trailer", "X-Key, "+canary[:30])
				_, _ = io.WriteString(w, "{}")
				_ = http.NewResponseController(w).Flush()
				w.Header().Set("X-Key", canary)
				w.Header().Set(http.TrailerPrefix+"X-Late", canary)
			}, configure)
			a := s.post("")
			if a.body != "{}" || len(a.Trailer) > 0 || a.cut {
				t.Errorf("%q, trailer %v", a.body, a.Trailer)
			}
		})
	}
}

func TestWhatKindOfFailureItIs(t *testing.T) {
	cases := map[string]struct {
		status int
		body   string
		after  string
		class  contract.FailureClass
	}{
		"a key that is refused":       {401, `{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}`, "", contract.ProviderAuthenticationFailed},
		"a model that is not allowed": {403, `{"type":"error","error":{"type":"permission_error","message":"no"}}`, "", contract.ProviderAuthenticationFailed},
		"too many requests":           {429, `{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}`, "17", contract.ProviderRateLimited},
		"a quota, for some seconds":   {429, `{"error":{"message":"You exceeded your current quota"}}`, "17", contract.ProviderRateLimited},
		"a quota":                     {429, `{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}`, "", contract.ProviderQuotaExhausted},
		"no credit, as Anthropic says": {400, `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}`, "",
			contract.ProviderQuotaExhausted},
		"overload":             {529, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, "", contract.ProviderUnavailable},
		"an outage in HTML":    {503, "<html>\u2014 down for repairs</html>", "", contract.ProviderUnavailable},
		"an error of no words": {500, "", "", contract.ProviderUnavailable},
		"too long a context":   {400, `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 1 > 0"}}`, "", contract.ContextOverflow},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, func(w http.ResponseWriter, r *http.Request) {
				if c.after != "" {
					w.Header().Set("Retry-After", c.after)
				}
				says(c.status, json, c.body)(w, r)
			})
			a := s.post("")
			if a.StatusCode != c.status || a.body != c.body || a.Header.Get("Retry-After") != c.after {
				t.Errorf("the answer was changed: %s, %q, %s", a.Status, a.Header.Get("Retry-After"), a.body)
			}
			message := a.Header.Get(contract.HeaderFailureMessage)
			if got := a.Header.Get(contract.HeaderFailureClass); got != string(c.class) || message == "" || len(message) > 512 {
				t.Errorf("class %q, message %q, want class %q", got, message, c.class)
			}
			s.counts(fmt.Sprintf("requests_total{class=opencode,credential=shared,namespace=team-a,provider=anthropic,status=%d,} 1", c.status))
		})
	}
	if a := newStage(t, fine).post(""); a.Header.Get(contract.HeaderFailureClass) != "" {
		t.Error("a success is called a failure")
	}
}

func TestALongErrorPassesWhole(t *testing.T) {
	body := `{"error":{"message":"no"}}` + strings.Repeat(" ", 3*maxError)
	if a := newStage(t, says(400, json, body)).post(""); a.body != body || a.cut {
		t.Errorf("%d bytes of %d", len(a.body), len(body))
	}
}
