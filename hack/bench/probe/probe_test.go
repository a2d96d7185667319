package probe

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// ask returns the status and the body of an answer.
func ask(t *testing.T, server *httptest.Server, path string) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

func TestProbe(t *testing.T) {
	server := httptest.NewServer(Handler())
	defer server.Close()

	_, body := ask(t, server, PathUsage)
	var u Usage
	if err := json.Unmarshal(body, &u); err != nil || u.LiveHeap == 0 || u.CPU <= 0 || u.Goroutines == 0 {
		t.Errorf("usage %+v, error %v", u, err)
	}
	if _, body := ask(t, server, PathCPU); len(body) < 2 || body[0] == '0' {
		t.Errorf("processor time %q", body)
	}
	if _, body := ask(t, server, PathGoroutines); !bytes.Contains(body, []byte("probe.Handler")) {
		t.Errorf("goroutines:\n%s", body)
	}
	if status, body := ask(t, server, PathCPUStart); status != http.StatusOK {
		t.Errorf("start of the profile: %d %s", status, body)
	}
	if status, _ := ask(t, server, PathCPUStart); status != http.StatusInternalServerError {
		t.Errorf("second start of the profile: %d", status)
	}
	for _, path := range []string{PathCPUStop, PathHeap} {
		// Profiles are compressed: https://github.com/google/pprof/blob/main/proto/README.md
		if status, body := ask(t, server, path); status != http.StatusOK || !bytes.HasPrefix(body, []byte{0x1f, 0x8b}) {
			t.Errorf("%s: %d, and no profile", path, status)
		}
	}
}
