package route

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNormalise(t *testing.T) {
	tests := map[string]struct {
		path, want string
		err        error
	}{
		"a plain path stays":                        {path: "/v1/messages", want: "/v1/messages"},
		"an encoded letter is decoded":              {path: "/v1/%6dessages", want: "/v1/messages"},
		"an encoded colon is decoded":               {path: "/v1beta/models/g%3AgenerateContent", want: "/v1beta/models/g:generateContent"},
		"dots in a name stay":                       {path: "/v1beta/models/gemini-2.5-pro", want: "/v1beta/models/gemini-2.5-pro"},
		"three dots are a name":                     {path: "/v1/...", want: "/v1/..."},
		"an encoded slash":                          {path: "/v1/models/a%2fb", err: errByte},
		"an encoded slash, upper case":              {path: "/v1/models/a%2Fb", err: errByte},
		"an encoded backslash":                      {path: "/v1/models/a%5cb", err: errByte},
		"a backslash":                               {path: `/v1/models/..\files`, err: errByte},
		"an encoding of an encoding":                {path: "/v1/models/%252e%252e", err: errByte},
		"an encoded percent sign alone":             {path: "/v1/models/a%25", err: errByte},
		"parts of dots":                             {path: "/v1/models/../files", err: errDots},
		"encoded dots":                              {path: "/v1/models/%2e%2E/files", err: errDots},
		"half-encoded dots":                         {path: "/v1/models/.%2e/files", err: errDots},
		"a dot":                                     {path: "/v1/./messages", err: errDots},
		"dots before a path parameter, as in Java":  {path: "/v1/models/..;/files", err: errByte},
		"an encoded path parameter":                 {path: "/v1/models/..%3bx/files", err: errByte},
		"an empty part":                             {path: "/v1//messages", err: errEmpty},
		"a final slash":                             {path: "/v1/messages/", err: errEmpty},
		"the root":                                  {path: "/", err: errEmpty},
		"another host":                              {path: "//evil.example/v1/messages", err: errEmpty},
		"nothing":                                   {path: "", err: errRelative},
		"an asterisk-form target":                   {path: "*", err: errRelative},
		"an absolute URL":                           {path: "https://evil.example/v1/messages", err: errRelative},
		"an encoded null":                           {path: "/v1/messages%00", err: errByte},
		"an encoded newline":                        {path: "/v1/messages%0d%0aX: y", err: errByte},
		"an encoded DEL":                            {path: "/v1/messages%7f", err: errByte},
		"an encoded query":                          {path: "/v1/messages%3fkey=x", err: errByte},
		"a fragment":                                {path: "/v1/messages%23x", err: errByte},
		"bytes that are no UTF-8":                   {path: "/v1/\xff\xfe", err: errByte},
		"encoded bytes that are no UTF-8":           {path: "/v1/%ff", err: errByte},
		"an overlong slash":                         {path: "/v1/%c0%af", err: errByte},
		"a full-width slash, folded by some":        {path: "/v1/models/a%EF%BC%8Fb", err: errByte},
		"a blank":                                   {path: "/v1/a%20b", err: errByte},
		"a percent sign at the end":                 {path: "/v1/a%", err: errEscape},
		"half an encoding":                          {path: "/v1/a%2", err: errEscape},
		"an encoding of other letters":              {path: "/v1/a%zz", err: errEscape},
		"an encoding of %u, as in old Windows":      {path: "/v1/%u002e", err: errEscape},
		"a path of which nobody would read the end": {path: "/" + strings.Repeat("a", maxPath), err: errLong},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Normalise(tt.path)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v, want %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

var shipped = New([]Pattern{
	{http.MethodPost, "/v1/messages"},
	{http.MethodPost, "/v1/messages/count_tokens"},
	{http.MethodGet, "/v1/models"},
	{http.MethodGet, "/v1/models/*"},
	{http.MethodPost, "/v1/models/*"},
	{http.MethodPost, "/v1beta/models/*:generateContent"},
	{http.MethodGet, "/x/pre-*-post/y"},
	{http.MethodTrace, "/v1/trace"},
	{http.MethodConnect, "/v1/connect"},
	{http.MethodGet, "/v1/two*stars*"},
	{http.MethodGet, "/v1/../up"},
	{http.MethodGet, "/v1/%61"},
})

func TestMatch(t *testing.T) {
	found := func(method, path string) Verdict {
		return Verdict{Outcome: Found, Pattern: Pattern{Method: method, Path: path}}
	}
	tests := map[string]struct {
		method, path string
		want         Verdict
	}{
		"a listed request":                              {"POST", "/v1/messages", found("POST", "/v1/messages")},
		"a longer one of the same beginning":            {"POST", "/v1/messages/count_tokens", found("POST", "/v1/messages/count_tokens")},
		"a name in a star's place":                      {"GET", "/v1/models/claude-sonnet-5", found("GET", "/v1/models/*")},
		"a verb behind a star":                          {"POST", "/v1beta/models/gemini-2.5-pro:generateContent", found("POST", "/v1beta/models/*:generateContent")},
		"a star between two texts":                      {"GET", "/x/pre-1-post/y", found("GET", "/x/pre-*-post/y")},
		"another method names those that there are":     {"DELETE", "/v1/models/x", Verdict{Outcome: MethodNotAllowed, Allow: []string{"GET", "POST"}}},
		"a method in lower case is another":             {"post", "/v1/messages", Verdict{Outcome: MethodNotAllowed, Allow: []string{"POST"}}},
		"HEAD is not GET":                               {"HEAD", "/v1/models", Verdict{Outcome: MethodNotAllowed, Allow: []string{"GET"}}},
		"TRACE":                                         {"TRACE", "/v1/messages", Verdict{Outcome: MethodNotAllowed, Allow: []string{"POST"}}},
		"TRACE, though listed":                          {"TRACE", "/v1/trace", Verdict{}},
		"CONNECT, though listed":                        {"CONNECT", "/v1/connect", Verdict{}},
		"another path":                                  {"POST", "/v1/files", Verdict{}},
		"a path in upper case":                          {"POST", "/v1/Messages", Verdict{}},
		"the beginning of a path":                       {"GET", "/v1", Verdict{}},
		"more than a path":                              {"POST", "/v1/messages/batches", Verdict{}},
		"nothing in a star's place":                     {"GET", "/v1/models/", Verdict{}},
		"nothing between two texts":                     {"GET", "/x/pre--post/y", Verdict{}},
		"two texts that overlap":                        {"GET", "/x/pre-post/y", Verdict{}},
		"a slash in a star's place":                     {"GET", "/v1/models/a/b", Verdict{}},
		"a verb where none is listed":                   {"POST", "/v1/models/x:batchGenerateContent", Verdict{}},
		"another verb":                                  {"POST", "/v1beta/models/x:batchGenerateContent", Verdict{}},
		"two verbs":                                     {"POST", "/v1beta/models/x:countTokens:generateContent", Verdict{}},
		"a verb without a name":                         {"POST", "/v1beta/models/:generateContent", Verdict{}},
		"dots in a star's place, not normalised":        {"GET", "/v1/models/..", Verdict{}},
		"an encoding in a star's place, not normalised": {"GET", "/v1/models/%2e%2e", Verdict{}},
		"a template as a path":                          {"GET", "/v1/two*stars*", Verdict{}},
		"a pattern that is not normal":                  {"GET", "/v1/../up", Verdict{}},
		"nothing":                                       {"", "", Verdict{}},
		"a path without a slash":                        {"POST", "v1/messages", Verdict{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, shipped.Match(tt.method, tt.path)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestZeroTableMatchesNothing(t *testing.T) {
	if v := (Table{}).Match(http.MethodGet, "/"); v.Outcome != NotFound {
		t.Errorf("got %v", v)
	}
}

// FuzzMatch holds the Table to a second opinion, and what it found to the template.
func FuzzMatch(f *testing.F) {
	for _, seed := range []string{"/v1/messages", "/v1/models/a%2fb", "/v1/models/%2e%2e/x", "/v1beta/models/x%3AgenerateContent", "//", "/x/pre-*-post/y", "/v1/models/\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		normal, _ := Normalise(raw)
		for _, path := range []string{raw, normal} {
			v := shipped.Match(http.MethodPost, path)
			if v.Outcome != Found {
				continue
			}
			star := `[^/:%;\\?#\x00-\x20\x7f-\xff]+`
			opinion := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(v.Pattern.Path), `\*`, star) + "$")
			if !opinion.MatchString(path) || strings.Count(path, "/") != strings.Count(v.Pattern.Path, "/") {
				t.Errorf("%q passed as %q", path, v.Pattern.Path)
			}
			if resolved := (&url.URL{Path: "/"}).ResolveReference(&url.URL{Path: path}).Path; resolved != path {
				t.Errorf("%q leads to %q", path, resolved)
			}
		}
	})
}

func FuzzNormalise(f *testing.F) {
	for _, seed := range []string{"/v1/messages", "/%2e", "/%252e", "/a%2Fb", "/a;b", "/a%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := Normalise(raw)
		if err != nil {
			if got != "" {
				t.Errorf("%q with an error", got)
			}
			return
		}
		if again, err := Normalise(got); err != nil || again != got {
			t.Errorf("%q becomes %q the second time: %v", got, again, err)
		}
		if strings.ContainsAny(got, `%\;?#`) || strings.Contains(got+"/", "//") || strings.Contains(got+"/", "/./") || strings.Contains(got+"/", "/../") {
			t.Errorf("%q", got)
		}
		if u, err := url.ParseRequestURI(got); err != nil || u.Path != got || u.RawQuery != "" {
			t.Errorf("%q is read as %v, %v", got, u, err)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		path, err := Normalise("/v1beta/models/gemini-2.5-pro:generateContent")
		if err != nil || shipped.Match(http.MethodPost, path).Outcome != Found {
			b.Fatal("not found")
		}
	}
}
