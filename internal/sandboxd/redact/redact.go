// Package redact takes delivered keys out of everything that leaves a sandbox through sandboxd.
package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Mark stands where a key was.
const Mark = "[redacted]"

// Values shorter than minValue are left alone, because they would be found in ordinary words; the same holds for the part
// of a base64 text that a short value determines.
const (
	minValue  = 4
	minBase64 = 6
)

// Redactor knows the forms in which keys are taken out. The zero value knows none. It is safe for concurrent use.
type Redactor struct {
	known atomic.Pointer[words]
	// learning is held while known is replaced.
	learning sync.Mutex
}

// words are what is looked for. They are never changed.
type words struct {
	forms   [][]byte
	longest int
}

// New is a Redactor of the given values.
func New(values ...string) *Redactor {
	r := &Redactor{}
	r.Learn(values...)
	return r
}

// Learn adds values, which from then on are taken out too: as they are, as JSON and URLs write them, and as they show in base64, standard and
// URL alphabet, wherever in an encoded text they stand. Nothing is forgotten: what was a key may still be one somewhere.
func (r *Redactor) Learn(values ...string) {
	r.learning.Lock()
	defer r.learning.Unlock()
	learned := words{slices.Clone(r.words().forms), r.words().longest}
	for _, value := range values {
		value = withoutBreaks(value)
		if len(value) < minValue {
			continue
		}
		learned.add(value, url.QueryEscape(value), url.PathEscape(value), lowerEscapes(url.QueryEscape(value)), asJSON(value))
		for shift := range 3 {
			standard := base64Core(value, shift)
			learned.add(standard, strings.NewReplacer("+", "-", "/", "_").Replace(standard))
		}
	}
	r.known.Store(&learned)
}

// words are those that are known now.
func (r *Redactor) words() *words {
	if known := r.known.Load(); known != nil {
		return known
	}
	return &words{}
}

// Empty reports that there is nothing to take out.
func (r *Redactor) Empty() bool { return len(r.words().forms) == 0 }

func (w *words) add(forms ...string) {
	for _, form := range forms {
		known := slices.ContainsFunc(w.forms, func(f []byte) bool { return string(f) == form })
		if form == "" || known {
			continue
		}
		w.forms = append(w.forms, []byte(form))
		w.longest = max(w.longest, len(form))
	}
}

// base64Core is the part of a base64 text that value alone determines when it stands shift bytes after the border of a
// group of three: the characters before and after it share bits with whatever surrounds the value, or pad it.
func base64Core(value string, shift int) string {
	encoded := base64.StdEncoding.EncodeToString(append(make([]byte, shift), value...))
	head := []int{0, 2, 3}[shift]
	tail := (shift + len(value)) * 8 / 6
	if tail-head < minBase64 {
		return ""
	}
	return encoded[head:tail]
}

// asJSON is value as it stands between the quotes of a JSON string.
func asJSON(value string) string {
	quoted, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(quoted[1 : len(quoted)-1])
}

// lowerEscapes writes %2F as %2f.
func lowerEscapes(escaped string) string {
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		if escaped[i] == '%' && i+2 < len(escaped) {
			b.WriteString(strings.ToLower(escaped[i : i+3]))
			i += 2
			continue
		}
		b.WriteByte(escaped[i])
	}
	return b.String()
}

// String is text without keys.
func (r *Redactor) String(text string) string {
	if r.Empty() {
		return text
	}
	var out bytes.Buffer
	w := r.Writer(&out)
	_, _ = w.Write([]byte(text))
	_ = w.Flush()
	return out.String()
}

// isBreak is true for the bytes that may stand inside a key without hiding it: programs wrap long texts, and indent what
// they wrapped.
func isBreak(b byte) bool { return b == '\n' || b == '\r' || b == ' ' || b == '\t' }

// withoutBreaks is how a key is looked for.
func withoutBreaks(text string) string {
	return strings.NewReplacer("\n", "", "\r", "", " ", "", "\t", "", "\x00", "").Replace(text)
}
