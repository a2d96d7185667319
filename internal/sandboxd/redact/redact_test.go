package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"testing"
)

const key = "sk-ant-api03-Zm9v+YmFy/cXV4=end"

func TestString(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"text without a key is untouched":       {"nothing here\nat all", "nothing here\nat all"},
		"the key itself":                        {"a " + key + " b", "a " + Mark + " b"},
		"the key twice in a row":                {key + key, Mark + Mark},
		"the key across a line border":          {"a " + key[:9] + "\n" + key[9:] + " b", "a " + Mark + " b"},
		"the key across a border of CRLF":       {key[:9] + "\r\n" + key[9:], Mark},
		"the key with an indented rest":         {"a " + key[:9] + "\n    " + key[9:] + " b", "a " + Mark + " b"},
		"the key in a query":                    {"?k=" + url.QueryEscape(key) + "&x", "?k=" + Mark + "&x"},
		"the key in a query, lower-case escape": {"?k=" + lowerEscapes(url.QueryEscape(key)) + "&x", "?k=" + Mark + "&x"},
		"the key in a path":                     {"/" + url.PathEscape(key) + "/x", "/" + Mark + "/x"},
		"the beginning of a key alone":          {"sk-ant-", "sk-ant-"},
	}
	r := New(key)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := r.String(tt.text); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEveryBase64IsTakenOut(t *testing.T) {
	encodings := map[string]*base64.Encoding{
		"standard": base64.StdEncoding, "standard, no padding": base64.RawStdEncoding,
		"url": base64.URLEncoding, "url, no padding": base64.RawURLEncoding,
	}
	r := New(key)
	for name, encoding := range encodings {
		for before := range 6 {
			for after := range 6 {
				text := encoding.EncodeToString([]byte(strings.Repeat("x", before) + key + strings.Repeat("y", after)))
				if got := r.String(text); !strings.Contains(got, Mark) || revealed(got, key) {
					t.Errorf("%s, %d bytes before and %d after: %q", name, before, after, got)
				}
			}
		}
	}
}

// revealed reports whether any stretch of text decodes to five consecutive bytes of key.
func revealed(text, key string) bool {
	for start := range text {
		for end := start + 8; end <= len(text); end++ {
			for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
				plain, err := e.DecodeString(text[start:end])
				if err == nil && len(plain) >= 5 && strings.Contains(key, string(plain[len(plain)-5:])) {
					return true
				}
			}
		}
	}
	return false
}

func TestWrappedBase64IsTakenOut(t *testing.T) {
	long := strings.Repeat("Secret0123456789", 8)
	encoded := base64.StdEncoding.EncodeToString([]byte("user:" + long + ":rest"))
	wrapped := encoded[:76] + "\n" + encoded[76:152] + "\n" + encoded[152:]
	if got := New(long).String(wrapped); revealed(withoutBreaks(got), long) {
		t.Errorf("wrapped base64 is still readable: %q", got)
	}
}

func TestKeysWithOddCharacters(t *testing.T) {
	for _, odd := range []string{`quo"te\and\slash`, "and<html>&x", "ümläut-ключ"} {
		quoted, _ := json.Marshal(odd)
		if got := New(odd).String(string(quoted)); got != `"`+Mark+`"` {
			t.Errorf("%q as JSON: got %q", odd, got)
		}
	}
}

func TestShortValuesAreLeftAlone(t *testing.T) {
	if got := New("", "abc", "\n").String("abc\nabc"); got != "abc\nabc" {
		t.Errorf("got %q", got)
	}
}

func TestNothingIsHeldBackWithoutAReason(t *testing.T) {
	var out bytes.Buffer
	w := New(key).Writer(&out)
	_, _ = w.Write([]byte("hello\n"))
	if out.String() != "hello\n" {
		t.Errorf("held back: got %q", out.String())
	}
	_, _ = w.Write([]byte("key: s"))
	if out.String() != "hello\nkey: " {
		t.Errorf("what may begin a key must wait: got %q", out.String())
	}
}

// TestLittleIsHeldBack: an agent that prints the beginning of a key and then white space without end costs no memory.
func TestLittleIsHeldBack(t *testing.T) {
	w := New(key).Writer(io.Discard)
	for range 1000 {
		_, _ = w.Write([]byte(key[:5] + strings.Repeat(" \n", 5000)))
	}
	if size := cap(w.pending); size > 4*maxPiece {
		t.Errorf("%d bytes are held back", size)
	}
}

// FuzzWriter: however a text is cut into chunks, what comes out is the same, and no key is in it.
func FuzzWriter(f *testing.F) {
	f.Add("a "+key+" b", uint8(3), key)
	f.Add("aaaaaaaaaaaaaaaaaa", uint8(1), "aaaa")
	f.Add("abab\nababab", uint8(2), "ababab")
	f.Add(base64.StdEncoding.EncodeToString([]byte("x"+key)), uint8(7), key)
	f.Add("secr"+strings.Repeat(" ", maxGap)+"et-secr"+strings.Repeat("\n", maxGap+1)+"et", uint8(0), "secret")
	f.Fuzz(func(t *testing.T, text string, size uint8, value string) {
		if len(text) > 4<<10 || len(value) > 64 {
			t.Skip("keys are short, and a longer text says nothing new")
		}
		r := New(value, "another-key", "key-another")
		whole := r.String(text)
		var out bytes.Buffer
		w := r.Writer(&out)
		for rest := []byte(text); len(rest) > 0; {
			n := min(len(rest), int(size)+1)
			_, _ = w.Write(rest[:n])
			rest = rest[n:]
		}
		_ = w.Flush()
		if out.String() != whole {
			t.Fatalf("in chunks of %d: %q, as a whole: %q", size+1, out.String(), whole)
		}
		for piece := range strings.SplitSeq(whole, Mark) {
			squeezed, _ := squeeze([]byte(piece))
			for _, form := range r.words().forms {
				if bytes.Contains(squeezed, form) {
					t.Fatalf("%q still holds %q", piece, form)
				}
			}
		}
	})
}

func TestWhatIsLearnedLaterIsTakenOutToo(t *testing.T) {
	const next = "sk-ant-api03-the-next-one"
	r := &Redactor{}
	var out bytes.Buffer
	w := r.Writer(&out)
	for _, step := range []struct{ learn, write string }{
		{"", "nothing is known of " + next + ". "}, {key, "now of " + key + ". Of the next the beginning: " + next[:9]},
		{next, next[9:] + ", and again " + next + ", and the first " + key},
	} {
		if step.learn != "" {
			r.Learn(step.learn)
		}
		if _, err := io.WriteString(w, step.write); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	// What had left before a key was known is gone. Of the next one, the beginning is that of the first, and so was held back.
	want := "nothing is known of " + next + ". now of " + Mark + ". Of the next the beginning: " + Mark + ", and again " + Mark + ", and the first " + Mark
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestKeysAreLearnedWhileTextPasses(t *testing.T) {
	r := New(key)
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() { r.Learn(fmt.Sprintf("sk-ant-number-%d", n)) })
		all.Go(func() {
			if got := r.String("a " + key + " b"); got != "a "+Mark+" b" {
				t.Errorf("got %q", got)
			}
		})
	}
	all.Wait()
	for n := range 4 {
		if got := r.String(fmt.Sprintf("sk-ant-number-%d", n)); got != Mark {
			t.Errorf("got %q", got)
		}
	}
}
