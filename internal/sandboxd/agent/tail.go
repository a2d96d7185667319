package agent

import (
	"strings"

	"github.com/sandkeep/sandkeep/internal/sandboxd/redact"
)

// tail is the end of a text, without keys: they are taken out before the text is cut, because half a key is not recognised.
type tail struct {
	limit int
	text  []byte
	cut   bool
	in    *redact.Writer
}

func newTail(limit int, r *redact.Redactor) *tail {
	t := &tail{limit: limit}
	t.in = r.Writer(t)
	return t
}

func (t *tail) add(text string) { _, _ = t.in.Write([]byte(text)) }

// Write takes text that is without keys.
func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p[max(0, len(p)-t.limit):]...)
	t.cut = t.cut || len(p) > t.limit
	if excess := len(t.text) - t.limit; excess > 0 {
		t.text = append(t.text[:0], t.text[excess:]...)
		t.cut = true
	}
	return len(p), nil
}

func (t *tail) reset() {
	_ = t.in.Flush()
	t.text, t.cut = t.text[:0], false
}

// String is the text, from the first whole line on where its beginning was cut off.
func (t *tail) String() string {
	_ = t.in.Flush()
	text := string(t.text)
	if !t.cut {
		return text
	}
	if _, rest, found := strings.Cut(text, "\n"); found && strings.TrimSpace(rest) != "" {
		return rest
	}
	return strings.ToValidUTF8(text, "")
}
