package echo

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
)

const key = "sk-ant-api03-Zm9v+YmFy/cXV4=end_~of.it"

// percent encodes every byte.
func percent(text, format string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

// mixed writes bytes in turn as they are, percent-encoded and escaped.
func mixed(text string) string {
	var b strings.Builder
	for i, c := range []byte(text) {
		fmt.Fprintf(&b, []string{"%c", "%%%02x", `\u%04x`, "%%%02X", `\u%04X`}[i%5], c)
	}
	return b.String()
}

// forms are ways to write a key that are found. What surrounds a key in base64 is part of the form.
var forms = map[string]func(key string) string{
	"as it is":                           func(k string) string { return k },
	"in a query":                         url.QueryEscape,
	"in a path":                          url.PathEscape,
	"in a query, lower case":             func(k string) string { return percent(k, "%%%02x") },
	"percent-encoded throughout":         func(k string) string { return percent(k, "%%%02X") },
	"as JSON":                            func(k string) string { b, _ := json.Marshal(k); return string(b) },
	"as JSON with escaped slashes":       func(k string) string { return strings.ReplaceAll(k, "/", `\/`) },
	"escaped as in JSON throughout":      func(k string) string { return percent(k, `\u%04x`) },
	"every byte in another way":          mixed,
	"in hexadecimal":                     func(k string) string { return hex.EncodeToString([]byte(k)) },
	"in upper-case hexadecimal":          func(k string) string { return strings.ToUpper(hex.EncodeToString([]byte(k))) },
	"in base64":                          func(k string) string { return base64.StdEncoding.EncodeToString([]byte(k)) },
	"in base64 without padding":          func(k string) string { return base64.RawStdEncoding.EncodeToString([]byte(k)) },
	"in base64 for URLs":                 func(k string) string { return base64.URLEncoding.EncodeToString([]byte(k)) },
	"in base64 for URLs without padding": func(k string) string { return base64.RawURLEncoding.EncodeToString([]byte(k)) },
	"in base64 behind one byte":          func(k string) string { return base64.StdEncoding.EncodeToString([]byte(":" + k + "\n")) },
	"in base64 behind two bytes":         func(k string) string { return base64.URLEncoding.EncodeToString([]byte("u:" + k + "!!")) },
	"in base64 behind a scheme":          func(k string) string { return base64.RawStdEncoding.EncodeToString([]byte("Bearer " + k)) },
	"in base64 in a query":               func(k string) string { return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(k))) },
}

// read passes a text through a Reader in pieces of some size.
func read(d *Detector, text string, size int) (got string, echoes int, err error) {
	r := d.Reader(io.NopCloser(&pieces{text: text, size: func() int { return size }}), func() { echoes++ })
	all, err := io.ReadAll(r)
	if errors.Is(err, ErrKeyEchoed) {
		if n, again := r.Read(make([]byte, 1)); n != 0 || !errors.Is(again, ErrKeyEchoed) {
			err = fmt.Errorf("reading goes on after the end: %d, %w", n, again)
		}
	}
	return string(all), echoes, err
}

// borders are sizes of pieces that put a border at every place of a text's beginning, and none.
func borders(text string) []int {
	sizes := []int{len(text) + 1}
	for size := 1; size <= min(len(text), 24); size++ {
		sizes = append(sizes, size)
	}
	return sizes
}

// pieces is a body that comes in pieces.
type pieces struct {
	text string
	size func() int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.text == "" {
		return 0, io.EOF
	}
	n := copy(b, p.text[:min(len(p.text), max(1, p.size()))])
	p.text = p.text[n:]
	return n, nil
}

func TestEveryFormIsCutAtEveryBorder(t *testing.T) {
	keys := map[string]string{
		"an ordinary key":              key,
		"a key of odd characters":      `a%25b\u0041c"<&>/%%`,
		"the shortest key":             "12345678",
		"a key that repeats":           "abababababab",
		"a key of hexadecimal digits":  "41414141%41",
		"a key as long as OpenAI's":    "sk-proj-" + strings.Repeat("aB3-_", 31),
		"a key that begins with u":     `u0041u0041`,
		"a key of percent signs alone": strings.Repeat("%", 12),
	}
	for keyName, k := range keys {
		d := New(k)
		for name, form := range forms {
			if strings.ContainsAny(k, `%\`) && name == "every byte in another way" {
				continue // such a key is found as one way of writing writes it
			}
			if strings.ContainsAny(k, `%\`) && strings.HasPrefix(name, "as JSON with") {
				continue // that is not how JSON writes a backslash
			}
			t.Run(keyName+" "+name, func(t *testing.T) {
				before, after := "data: {\"x\":\"", "\"}\n\n"
				text := before + form(k) + after
				for _, size := range borders(text) {
					got, echoes, err := read(d, text, size)
					if !errors.Is(err, ErrKeyEchoed) || echoes != 1 {
						t.Fatalf("pieces of %d: not found: %v", size, err)
					}
					if !strings.HasPrefix(got, before[:len(before)-1]) || len(got) > len(before)+10 {
						t.Fatalf("pieces of %d: cut after %q", size, got)
					}
				}
				if !d.InHeader(http.Header{"X-Debug": {"a", "b " + form(k)}}) {
					t.Error("not found in a header")
				}
			})
		}
	}
}

func TestOtherTextsPassUntouched(t *testing.T) {
	texts := map[string]string{
		"nothing":                           "",
		"a stream":                          strings.Repeat("event: content_block_delta\ndata: {\"delta\":{\"text\":\"sk-ant\"}}\n\n", 50),
		"a key but for its end":             key[:len(key)-1],
		"a key but for its end, and more":   key[:len(key)-1] + "x",
		"beginnings of the key in a row":    strings.Repeat(key[:20], 20),
		"another key":                       "sk-ant-api03-something-else-altogether",
		"the key masked, as providers do":   key[:8] + "********" + key[len(key)-4:],
		"escapes of other things":           `%73%6 \u0073\u00 \n\/\\` + "%",
		"half of the key escaped":           percent(key[:10], "%%%02x"),
		"base64 of half of the key":         base64.StdEncoding.EncodeToString([]byte(key[:20])),
		"the key in two, with a blank":      key[:10] + " " + key[10:],
		"the key in another case":           strings.ToUpper(key),
		"bytes":                             "\x00\xff\xfe" + key[:5] + "\x80",
		"an introduction of another escape": `\U` + percent(key, `%04x`),
	}
	d := New(key)
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			for _, size := range borders(text) {
				got, echoes, err := read(d, text, size)
				if got != text || err != nil || echoes != 0 {
					t.Fatalf("pieces of %d: got %q, %v", size, got, err)
				}
			}
			if d.InHeader(http.Header{"X-Debug": {text}}) {
				t.Error("found in a header")
			}
		})
	}
}

func TestShortKeysAreNotLookedFor(t *testing.T) {
	for _, short := range []string{"", "x", "EMPTY", "1234567"} {
		d := New(short)
		body := io.NopCloser(strings.NewReader("EMPTY 1234567 x"))
		if !d.Blind() || d.InHeader(http.Header{"X": {short}}) || d.Reader(body, nil) != body {
			t.Errorf("%q is looked for", short)
		}
	}
	if New("12345678").Blind() {
		t.Error("a key of eight characters is not looked for")
	}
}

func TestNamesOfHeadersAreLookedAt(t *testing.T) {
	if !New(key).InHeader(http.Header{key: nil}) {
		t.Error("not found")
	}
}

// TestEventsAreNotKeptWaiting reads each piece before the next one is there: what is no beginning of the key comes at once and as a whole.
func TestEventsAreNotKeptWaiting(t *testing.T) {
	tests := map[string]struct{ piece, want string }{
		"an event":                             {"data: {\"a\":1}\n\n", "data: {\"a\":1}\n\n"},
		"a piece that ends in other text":      {"data: " + key[:9] + "!", "data: " + key[:9] + "!"},
		"a piece that ends in a beginning":     {"data: " + key[:9], "data: "},
		"a piece that ends within an escape":   {"data: " + key[:2] + "%2", "data: "},
		"a piece that ends in another escape":  {"data: " + key[:2] + "%9", "data: " + key[:2] + "%9"},
		"a piece that ends in another \\u":     {`data: \u01`, `data: \u01`},
		"the last of two beginnings can match": {"data: " + key[:9] + key[:3], "data: " + key[:9]},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in, out := io.Pipe()
			r := New(key).Reader(in, nil)
			ended := make(chan struct{})
			go func() {
				_, _ = out.Write([]byte(tt.piece))
				<-ended
				_ = out.Close()
			}()
			got := make([]byte, 4096)
			n, err := r.Read(got)
			if string(got[:n]) != tt.want || err != nil {
				t.Fatalf("got %q, %v", got[:n], err)
			}
			close(ended)
			rest, err := io.ReadAll(r)
			if err != nil || tt.want+string(rest) != tt.piece {
				t.Errorf("then %q, %v", rest, err)
			}
		})
	}
}

func TestErrorsComeAfterWhatWasRead(t *testing.T) {
	broken := errors.New("broken")
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"with the last bytes":  iotest.DataErrReader,
		"after the last bytes": func(r io.Reader) io.Reader { return r },
	} {
		t.Run(name, func(t *testing.T) {
			text := "some text and " + key[:12]
			body := wrap(io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)))
			got, err := io.ReadAll(New(key).Reader(io.NopCloser(body), nil))
			if string(got) != text || !errors.Is(err, broken) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestReaderKeepsItsPromises(t *testing.T) {
	text := strings.Repeat("some text, and then "+key[:30]+" ", 30)
	r := New(key).Reader(io.NopCloser(iotest.OneByteReader(strings.NewReader(text))), nil)
	if err := iotest.TestReader(r, []byte(text)); err != nil {
		t.Error(err)
	}
}

// TestBuffersOfTheCallerHoldNoKey looks at the whole of a buffer, also behind what was read.
func TestBuffersOfTheCallerHoldNoKey(t *testing.T) {
	buf := make([]byte, 4096)
	n, _ := New(key).Reader(io.NopCloser(strings.NewReader("text "+key+" text")), nil).Read(buf)
	if string(buf[:n]) != "text " || bytes.Contains(buf, []byte(key[:8])) {
		t.Errorf("got %q", bytes.Trim(buf, "\x00"))
	}
}

// seeds of the random sources of the fuzz tests.
func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// FuzzKey writes random keys in random forms into random texts that come in random pieces.
func FuzzKey(f *testing.F) {
	f.Add("sk-ant-api03-abc", "before ", " after", uint64(1))
	f.Add("aaaaaaaab", "aaaaaaaa", "", uint64(2))
	f.Add("%41%41%41%41", "%4", "1", uint64(3))
	f.Add(`\u0041\u0041`, `\`, "u", uint64(4))
	names := []string{"as it is", "in a query", "in a path", "percent-encoded throughout", "as JSON", "escaped as in JSON throughout", "in hexadecimal",
		"in base64", "in base64 for URLs without padding", "in base64 behind one byte", "in base64 behind two bytes", "in base64 in a query"}
	f.Fuzz(func(t *testing.T, k, before, after string, seed uint64) {
		if len(k) < MinKey || !isVisible(k) {
			return
		}
		random := source(seed)
		form := forms[names[random.IntN(len(names))]](k)
		text := before + form + after
		limit := 1 + random.IntN(40)
		body := &pieces{text: text, size: func() int { return random.IntN(limit) }}
		got, err := io.ReadAll(New(k).Reader(io.NopCloser(body), nil))
		if !errors.Is(err, ErrKeyEchoed) || !strings.HasPrefix(text, string(got)) || len(got) > len(before)+4 {
			t.Errorf("key %q as %q behind %q: got %q, %v", k, form, before, got, err)
		}
	})
}

// isVisible is true for what a header can carry: a key has no other characters.
func isVisible(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r < 0x21 || r > 0x7e }) < 0
}

// FuzzText holds texts without the key to passing byte by byte, and what is kept back to its bound.
func FuzzText(f *testing.F) {
	f.Add("sk-ant-api03-abc", "sk-ant-api03-ab sk-ant %73", uint64(1))
	f.Add("aaaaaaaab", strings.Repeat("a", 100), uint64(2))
	f.Fuzz(func(t *testing.T, k, text string, seed uint64) {
		d := New(k)
		if at, m := d.find([]byte(text)); m == whole {
			if found := d.slow([]byte(text)); found != at {
				t.Errorf("found at %d, and by hand at %d", at, found)
			}
			return
		}
		if d.slow([]byte(text)) >= 0 {
			t.Errorf("%q is overlooked in %q", k, text)
		}
		random := source(seed)
		body := &pieces{text: text, size: func() int { return random.IntN(20) }}
		r := d.Reader(io.NopCloser(body), func() { t.Error("found") })
		var got []byte
		buf := make([]byte, 1+random.IntN(64))
		for {
			n, err := r.Read(buf)
			got = append(got, buf[:n]...)
			if own, ok := r.(*reader); ok && len(own.buf)-own.clean >= longest(d) {
				t.Fatalf("keeps back %d bytes of %d", len(own.buf)-own.clean, longest(d))
			}
			if err != nil {
				break
			}
		}
		if string(got) != text {
			t.Errorf("got %q, want %q", got, text)
		}
	})
}

// slow finds a whole word without any of the search's shortcuts.
func (d *Detector) slow(text []byte) int {
	for i := range text {
		for _, w := range d.words {
			if w.at(text[i:]) == whole {
				return i
			}
		}
	}
	return -1
}

// longest is the length of the longest form of a key.
func longest(d *Detector) int {
	most := 0
	for _, w := range d.words {
		size := 1
		if w.percent {
			size = len("%00")
		}
		if w.json {
			size = len(`\u0000`)
		}
		most = max(most, len(w.places)*size)
	}
	return most
}
