package door

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandkeep/sandkeep/internal/contract"
)

func readAnswer(t *testing.T, conn net.Conn) *http.Response {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestARequestReachesItsProviderThroughTheGateway(t *testing.T) {
	g := newGateway(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Provider", "yes")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(append([]byte("echo "), body...))
	})
	s := openDoor(t, g.contract())
	answer, text := s.post("/anthropic/v1/messages?beta=true", `{"model":"m"}`)
	if answer.StatusCode != http.StatusCreated || answer.Header.Get("X-Provider") != "yes" || text != `echo {"model":"m"}` {
		t.Errorf("got %d %v %q", answer.StatusCode, answer.Header, text)
	}
	first, _, _ := strings.Cut(g.requests()[0], "\n")
	if diff := cmp.Diff("POST /v1alpha1/providers/anthropic/v1/messages?beta=true HTTP/1.1", first); diff != "" {
		t.Errorf("at the gateway (-want +got):\n%s", diff)
	}
	if !strings.Contains(g.requests()[0], "Authorization: Bearer token-1\r\n") {
		t.Errorf("the pod's token is missing: %s", g.requests()[0])
	}
}

// The gateway matches paths against routes. What it sees must be what the agent wrote, or the door would decide for it.
func TestPathsAreNotRewritten(t *testing.T) {
	g := newGateway(t, ok)
	s := openDoor(t, g.contract())
	for _, target := range []string{
		"/anthropic", "/anthropic/", "/anthropic//v1///messages", "/anthropic/v1/%6Dessages", "/anthropic/a%2Fb", "/anthropic/a%2fb^c", "/anthropic/../openai/v1",
		"/anthropic/%2e%2e/x", "/anthropic/v1beta/models/gemini:generateContent?alt=sse&key=a;b=c&%zz", "/anthropic/x?", "/anthropic/\"{}|`", "/openai/\xc3\xa4", "/openai/a%20b+c",
	} {
		before := len(g.requests())
		if answer := s.raw("GET " + target + " HTTP/1.1\r\nHost: " + s.Address() + "\r\n\r\n"); answer.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", target, answer.StatusCode)
			continue
		}
		got, _, _ := strings.Cut(g.requests()[before], " HTTP/")
		if diff := cmp.Diff("GET "+strings.TrimSuffix(contract.GatewayProviders, "/")+target, got); diff != "" {
			t.Errorf("at the gateway (-want +got):\n%s", diff)
		}
	}
}

func TestNoKeyOfTheAgentReachesTheGateway(t *testing.T) {
	g := newGateway(t, ok)
	s := openDoor(t, g.contract())
	r := s.request(http.MethodPost, "/anthropic/v1/messages", strings.NewReader("{}"))
	for _, name := range []string{"Authorization", "X-Api-Key", "x-goog-api-key", "api-key", "Cookie", "Proxy-Authorization"} {
		r.Header.Set(name, "Bearer "+canary)
		r.Header.Add(name, canary)
	}
	r.Header.Set("Sandkeep-Failure-Class", canary)
	r.Header.Set("X-Forwarded-For", canary)
	r.Header.Set("X-Hop", canary)
	r.Header.Set("Connection", "X-Hop")
	r.Header.Set("Origin", "http://"+s.Address())
	r.Header.Set("Anthropic-Beta", "kept")
	r.Header.Set("User-Agent", "agent/1")
	if answer, text := s.do(r); answer.StatusCode != http.StatusOK {
		t.Fatalf("got %d %s", answer.StatusCode, text)
	}
	_, header, _ := strings.Cut(g.requests()[0], "\n")
	want := "Accept-Encoding: gzip\r\nAnthropic-Beta: kept\r\nAuthorization: Bearer token-1\r\nContent-Length: 2\r\nUser-Agent: agent/1\r\n"
	if diff := cmp.Diff(want, header); diff != "" {
		t.Errorf("at the gateway (-want +got):\n%s", diff)
	}
}

func TestWhatIsTheGatewaysOwnStaysInTheDoor(t *testing.T) {
	g := newGateway(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(contract.HeaderFailureClass, "ProviderRateLimited")
		w.Header().Set(contract.HeaderFailureMessage, "Slow down")
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	answer, _ := openDoor(t, g.contract()).post("/anthropic/v1/messages", "{}")
	answer.Header.Del("Date")
	if diff := cmp.Diff(http.Header{"Content-Length": {"0"}, "Retry-After": {"7"}}, answer.Header); diff != "" {
		t.Errorf("the agent sees (-want +got):\n%s", diff)
	}
}

func TestTheDoorServesNobodyElse(t *testing.T) {
	g := newGateway(t, ok)
	s := openDoor(t, g.contract())
	_, port, _ := net.SplitHostPort(s.Address())
	cases := map[string]struct {
		target, host, header string
		want                 int
		message              string
	}{
		"the address":                 {"/anthropic/x", s.Address(), "", 200, ""},
		"its name":                    {"/anthropic/x", "LocalHost:" + port, "", 200, ""},
		"a page of its own":           {"/anthropic/x", s.Address(), "Origin: http://localhost:" + port, 200, ""},
		"a name that was rebound":     {"/anthropic/x", "evil.example:" + port, "", 403, "programs of the sandbox"},
		"a name without the port":     {"/anthropic/x", "localhost", "", 403, "programs of the sandbox"},
		"no name":                     {"/anthropic/x", "", "", 403, "programs of the sandbox"},
		"another page":                {"/anthropic/x", s.Address(), "Origin: http://evil.example", 403, "programs of the sandbox"},
		"a page without an origin":    {"/anthropic/x", s.Address(), "Origin: null", 403, "programs of the sandbox"},
		"two origins":                 {"/anthropic/x", s.Address(), "Origin: http://" + s.Address() + "\r\nOrigin: http://evil.example", 403, "programs of the sandbox"},
		"no provider":                 {"/", s.Address(), "", 404, "it has anthropic, openai"},
		"a provider of others":        {"/google/v1", s.Address(), "", 404, "it has anthropic, openai"},
		"a provider in disguise":      {"/%61nthropic/v1", s.Address(), "", 404, "it has anthropic, openai"},
		"another case":                {"/Anthropic/v1", s.Address(), "", 404, "it has anthropic, openai"},
		"a path around the providers": {"/../session/report", s.Address(), "", 404, "it has anthropic, openai"},
		"a forward proxy's request":   {"http://" + s.Address() + "/anthropic/x", s.Address(), "", 400, "must name a path"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			before := len(g.requests())
			head := "GET " + c.target + " HTTP/1.1\r\nHost: " + c.host + "\r\n"
			if c.header != "" {
				head += c.header + "\r\n"
			}
			answer := s.raw(head + "\r\n")
			if answer.StatusCode != c.want {
				t.Errorf("status %d, want %d", answer.StatusCode, c.want)
			}
			if c.want == http.StatusOK {
				return
			}
			text, _ := io.ReadAll(answer.Body)
			if message := errorIn(t, string(text)); !strings.Contains(message, c.message) {
				t.Errorf("the message is %q, want %q in it", message, c.message)
			}
			if len(g.requests()) != before {
				t.Error("it reached the gateway")
			}
		})
	}
}

func TestEventsArriveOneByOne(t *testing.T) {
	next := make(chan string)
	g := newGateway(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for event := range next {
			_, _ = io.WriteString(w, event+"\n")
			w.(http.Flusher).Flush()
		}
	})
	s := openDoor(t, g.contract())
	go func() { next <- "data: 0" }()
	answer, err := http.DefaultClient.Do(s.request(http.MethodPost, "/anthropic/v1/messages", strings.NewReader("{}")))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	lines := bufio.NewScanner(answer.Body)
	for i := range 5 { // each is sent only after the one before it has arrived
		want := fmt.Sprintf("data: %d", i)
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("got %q, want %q", lines.Text(), want)
		}
		if i < 4 {
			next <- fmt.Sprintf("data: %d", i+1)
		}
	}
	close(next)
	if lines.Scan() {
		t.Errorf("then came %q", lines.Text())
	}
}

// The two directions of one request are streamed independently, and neither is kept: a body of unknown length may depend on the answer.
func TestBodiesAreStreamed(t *testing.T) {
	g := newGateway(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		line, _ := bufio.NewReader(r.Body).ReadString('\n')
		_, _ = io.WriteString(w, "got "+line)
	})
	s := openDoor(t, g.contract())
	read, write := io.Pipe()
	answer, err := http.DefaultClient.Do(s.request(http.MethodPost, "/anthropic/x", read))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.WriteString(write, "late\n") // the head of the answer is here already
	if got, err := bufio.NewReader(answer.Body).ReadString('\n'); err != nil || got != "got late\n" {
		t.Errorf("got %q, %v", got, err)
	}
	_ = write.Close()
}

func TestLargeBodiesArriveWhole(t *testing.T) {
	g := newGateway(t, func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		_, _ = fmt.Fprintf(w, "%d %v %x", n, err, sum.Sum(nil))
	})
	s := openDoor(t, g.contract())
	for _, size := range []int{1, maxReplay, maxReplay + 1, 40 << 20} {
		data := make([]byte, size)
		_, _ = rand.Read(data)
		sum := sha256.Sum256(data)
		_, text := s.post("/anthropic/x", string(data))
		if want := fmt.Sprintf("%d <nil> %s", size, hex.EncodeToString(sum[:])); text != want {
			t.Errorf("got %q, want %q", text, want)
		}
	}
}

func TestWebSocketsPass(t *testing.T) {
	g := newGateway(t, func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("the upgrade came by %s: %v", r.Proto, err)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_ = rw.Flush()
		for {
			line, err := rw.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = rw.WriteString("echo " + line)
			_ = rw.Flush()
		}
	})
	s := openDoor(t, g.contract())
	conn, err := net.Dial("tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	key := base64.StdEncoding.EncodeToString(make([]byte, 16))
	_, _ = fmt.Fprintf(conn, "GET /openai/v1/responses HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", s.Address(), key)
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %+v, %v", answer, err)
	}
	for _, word := range []string{"one\n", "two\n"} {
		_, _ = io.WriteString(conn, word)
		if got, err := in.ReadString('\n'); err != nil || got != "echo "+word {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	if s.Accepted() != 1 {
		t.Errorf("%d requests were accepted", s.Accepted())
	}
	s.Shut()
	if _, err := in.ReadString('\n'); err == nil {
		t.Error("the connection outlives the door")
	}
}

func TestAShutDoorServesNobody(t *testing.T) {
	started := make(chan struct{}, 1)
	g := newGateway(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		started <- struct{}{}
		<-r.Context().Done()
	})
	s := openDoor(t, g.contract())
	answer, err := http.DefaultClient.Do(s.request(http.MethodGet, "/anthropic/x", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	<-started
	s.Shut()
	if _, err := io.ReadAll(answer.Body); err == nil {
		t.Error("the open stream ended as if it were whole")
	}
	if _, err := http.DefaultClient.Do(s.request(http.MethodGet, "/anthropic/x", nil)); err == nil {
		t.Error("the door is open")
	}
	if f := s.LastFailure(); f != nil {
		t.Errorf("that is no failure of the provider: %+v", f)
	}
}
