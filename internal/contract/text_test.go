package contract

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestCleanKeepsOnlyWhatAStatusMayHold(t *testing.T) {
	cases := map[string]struct {
		text  string
		limit int
		want  string
	}{
		"plain text stays":                           {"All tests pass", 64, "All tests pass"},
		"newlines and tabs stay":                     {"a\n\tb", 64, "a\n\tb"},
		"white space around it goes":                 {" \n a \t\n", 64, "a"},
		"terminal escapes lose their escape":         {"\x1b[31mred\x1b[0m", 64, "[31mred[0m"},
		"carriage returns and nulls go":              {"a\r\x00b", 64, "ab"},
		"C1 controls go":                             {"a\u0085\u009bb", 64, "ab"},
		"bidirectional overrides go":                 {"a\u202e\u2066b\u2069\u202c", 64, "ab"},
		"zero-width characters go":                   {"a\u200b\u200d\ufeffb", 64, "ab"},
		"tag characters go":                          {"a\U000e0041b", 64, "ab"},
		"broken UTF-8 goes":                          {"a\xff\xc3b", 64, "ab"},
		"what a control character hid is trimmed":    {"a \x00", 64, "a"},
		"other scripts stay":                         {"Füße 日本 🙂", 64, "Füße 日本 🙂"},
		"text of exactly the limit stays":            {"abcdef", 6, "abcdef"},
		"text over the limit is cut and marked":      {"abcdefg", 6, "abc…"},
		"a cut never splits a character":             {"aüüü", 6, "aü…"},
		"a limit that fits the mark only":            {"abcdefg", 3, "…"},
		"a limit that does not even fit the mark":    {"abcdefg", 2, ""},
		"nothing of a text that is all control":      {"\x00\x01\x02", 64, ""},
		"a limit of nothing leaves nothing":          {"abc", 0, ""},
		"an invalid byte where the cut would be":     {"abc\xffdefgh", 6, "abc…"},
		"a character of four bytes across the limit": {"ab🙂cdefg", 7, "ab…"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Clean(c.text, c.limit)); diff != "" {
				t.Errorf("Clean(%q, %d) (-want +got):\n%s", c.text, c.limit, diff)
			}
		})
	}
}

func TestOneLineIsFitForAConditionMessage(t *testing.T) {
	cases := map[string]struct {
		text  string
		limit int
		want  string
	}{
		"lines become one": {"first\n\n  second\r\n\tthird\n", 64, "first second third"},
		"Unicode's line separators count as white space": {"a\u2028b\u2029c\u0085d", 64, "a b c d"},
		"no gap is left where a character was dropped":   {"a \x00 b \u200b c", 64, "a b c"},
		"a carriage return parts words":                  {"10%\r20%", 64, "10% 20%"},
		"it is cut after lines were joined":              {"a\n\n\n\n\nbcdefg", 6, "a b…"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, OneLine(c.text, c.limit)); diff != "" {
				t.Errorf("OneLine(%q, %d) (-want +got):\n%s", c.text, c.limit, diff)
			}
		})
	}
}

func FuzzCleanedTextIsHarmless(f *testing.F) {
	for _, seed := range []string{"plain", "a\x1b[2Jb", "a\u202eb", "\xff\xfe", "日本語", "a \x00 b", strings.Repeat("🙂\n", 40), "\u2028"} {
		f.Add(seed, uint16(16))
		f.Add(seed, uint16(0))
	}
	f.Fuzz(func(t *testing.T, text string, limit uint16) {
		for name, clean := range map[string]func(string, int) string{"Clean": Clean, "OneLine": OneLine} {
			got := clean(text, int(limit))
			if !utf8.ValidString(got) {
				t.Errorf("%s(%q, %d) = %q, which is not UTF-8", name, text, limit, got)
			}
			if len(got) > int(limit) {
				t.Errorf("%s(%q, %d) has %d bytes", name, text, limit, len(got))
			}
			if i := strings.IndexFunc(got, harmful); i >= 0 {
				t.Errorf("%s(%q, %d) = %q, with a harmful character at %d", name, text, limit, got, i)
			}
			if again := clean(got, int(limit)); again != got {
				t.Errorf("%s(%q, %d) = %q, but cleaned once more it is %q", name, text, limit, got, again)
			}
		}
		if line := OneLine(text, int(limit)); strings.ContainsAny(line, "\n\t") || strings.Contains(line, "  ") {
			t.Errorf("OneLine(%q, %d) = %q, which is not one line of single spaces", text, limit, line)
		}
	})
}

// harmful characters steer terminals, or reorder or hide what they show.
func harmful(r rune) bool {
	return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r))
}
