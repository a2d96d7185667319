package door

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// tokenAge is how long a token is used before its file is read again. The kubelet replaces a token when a fifth of its life is left, so
// that one that is a little old is always good.
const tokenAge = 5 * time.Second

// token is the pod's proof of who it is, as it stands in a file.
type token struct {
	path string
	now  func() time.Time

	mu     sync.Mutex
	value  string
	readAt time.Time
}

// get is the token.
func (t *token) get() (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value != "" && t.now().Sub(t.readAt) < tokenAge {
		return t.value, nil
	}
	return t.read()
}

// fresh is the token as it stands in the file now.
func (t *token) fresh() (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.read()
}

// read keeps the last token while the file cannot be read.
func (t *token) read() (string, error) {
	data, err := os.ReadFile(t.path)
	value := strings.TrimSpace(string(data))
	switch {
	case err == nil && isToken(value):
		t.value, t.readAt = value, t.now()
	case t.value != "":
	case err != nil:
		return "", fmt.Errorf("the sandbox's token cannot be read: %w", err)
	default:
		return "", fmt.Errorf("the sandbox's token cannot be read: %s holds none", t.path)
	}
	return t.value, nil
}

// isToken keeps a broken file from becoming a broken header, whose error might quote it.
func isToken(value string) bool {
	return value != "" && strings.IndexFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}
