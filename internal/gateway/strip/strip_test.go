package strip

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRequestHeader(t *testing.T) {
	stays := func(h http.Header) http.Header { return h }
	goes := func(http.Header) http.Header { return nil }
	tests := map[string]struct {
		in   http.Header
		want func(in http.Header) http.Header
	}{
		"versions and betas stay":                 {http.Header{"Anthropic-Version": {"2023-06-01"}, "Anthropic-Beta": {"a,b", "c"}}, stays},
		"the user agent stays":                    {http.Header{"User-Agent": {"claude-cli/2.1.330 (external, cli)"}}, stays},
		"unknown headers stay, in their spelling": {http.Header{"x-stainless-OS": {"Linux"}, "X_Odd": {""}}, stays},
		"an empty value stays":                    {http.Header{"Content-Type": {"application/json"}, "X-Empty": nil}, stays},
		"what only resembles a credential stays":  {http.Header{"X-Api-Keyword": {"v"}, "Authorization-Hint": {"v"}, "Cookies": {"v"}}, stays},
		"the subprotocol of a WebSocket stays":    {http.Header{"Sec-Websocket-Protocol": {"realtime, openai-beta.realtime-v1"}}, stays},
		"who pays, at OpenAI":                     {http.Header{"Openai-Organization": {"org"}, "openai_organization": {"org"}, "Openai-Project": {"p"}}, goes},
		"who pays, at Google":                     {http.Header{"X-Goog-User-Project": {"p"}}, goes},
		"a subprotocol that is a key":             {http.Header{"Sec-Websocket-Protocol": {"openai-insecure-api-key.sk-x"}}, goes},
		"subprotocols that are keys or say who pays, among others": {
			http.Header{
				"Sec-Websocket-Protocol": {"realtime,OpenAI-Insecure-API-Key.sk-x", "openai-organization.org ,openai-project.p, base64url.bearer.authorization.k8s.io.x", "b"},
				"sec_websocket_protocol": {"openai_insecure_api_key.sk-x"},
			},
			func(http.Header) http.Header { return http.Header{"Sec-Websocket-Protocol": {"realtime, b"}} },
		},
		"a bearer":                              {http.Header{"Authorization": {"Bearer x"}}, goes},
		"two bearers":                           {http.Header{"Authorization": {"Bearer x", "Bearer y"}}, goes},
		"a bearer in lower case":                {http.Header{"authorization": {"Bearer x"}}, goes},
		"a bearer in both cases":                {http.Header{"authorization": {"Bearer x"}, "AUTHORIZATION": {"Bearer y"}}, goes},
		"a bearer with a blank behind its name": {http.Header{"Authorization ": {"Bearer x"}, "Authorization\t": {"Bearer x"}}, goes}, //nolint:gocritic // the blank is what is tested
		"a key":                                 {http.Header{"X-Api-Key": {"x"}}, goes},
		"a key with underscores":                {http.Header{"X_Api_Key": {"x"}, "x_goog-api_key": {"x"}}, goes},
		"a key of Google":                       {http.Header{"X-Goog-Api-Key": {"x"}}, goes},
		"a key of Azure":                        {http.Header{"Api-Key": {"x"}}, goes},
		"a key in the provider's own header":    {http.Header{"X-Acme-Token": {"x"}, "x_acme_token": {"y"}}, goes},
		"cookies":                               {http.Header{"Cookie": {"a=b"}, "Cookie2": {"a=b"}}, goes},
		"credentials for proxies":               {http.Header{"Proxy-Authorization": {"Basic x"}, "Proxy-Anything": {"x"}}, goes},
		"the way that it took":                  {http.Header{"Forwarded": {"for=1"}, "X-Forwarded-For": {"1"}, "X-Forwarded-Anything": {"1"}, "X_Forwarded_Host": {"1"}, "X-Real-Ip": {"1"}, "Via": {"1.1 x"}}, goes},
		"what is ours":                          {http.Header{"Sandkeep-Session": {"x"}, "sandkeep_anything": {"x"}}, goes},
		"hop by hop":                            {http.Header{"Keep-Alive": {"5"}, "Te": {"trailers"}, "Trailer": {"X"}, "Transfer-Encoding": {"chunked"}, "Upgrade": {"h2c"}, "Proxy-Connection": {"x"}}, goes},
		"what Connection names":                 {http.Header{"Connection": {"close, X-One ,x_two", " X-Three"}, "connection": {"X-Four"}, "X-One": {"1"}, "X-Two": {"2"}, "X-Three": {"3"}, "X-Four": {"4"}}, goes},
		"Connection may be empty":               {http.Header{"Connection": {"", ",", " , "}}, goes},
		"another method":                        {http.Header{"X-Http-Method-Override": {"DELETE"}, "X-Method-Override": {"DELETE"}}, goes},
		"another path":                          {http.Header{"X-Original-Url": {"/v1/files"}, "X-Rewrite-Url": {"/v1/files"}}, goes},
		"a part of the answer only":             {http.Header{"Range": {"bytes=0-9"}, "If-Range": {"x"}}, goes},
		"compression of WebSocket":              {http.Header{"Sec-Websocket-Extensions": {"permessage-deflate"}, "sec_websocket_extensions": {"x"}}, goes},
		"another host":                          {http.Header{"Host": {"evil.example"}}, goes},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, encoding := range [][]string{nil, {"gzip, br"}, {"gzip", "identity;q=0"}} {
				h, want := tt.in.Clone(), http.Header{}
				maps.Copy(want, tt.want(tt.in))
				want["Accept-Encoding"] = []string{"identity"}
				if encoding != nil {
					h["accept-encoding"], h["Accept-Encoding"] = encoding, encoding
				}
				Request(h, nil, []string{"x-acme-token"})
				if diff := cmp.Diff(want, h); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestRequestQuery(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"what a request means stays":       {"alt=sse&beta=true&pageToken=x&keys=1", "alt=sse&beta=true&keys=1&pageToken=x"},
		"a key":                            {"key=x&alt=sse", "alt=sse"},
		"a key in another case":            {"KEY=x&Key=y&kEy=z", ""},
		"a key twice":                      {"key=x&key=y", ""},
		"a key with an encoded name":       {"%6bey=x&ke%79=y", ""},
		"a key with blanks":                {"key%20=x&+key=y", ""},
		"other names of keys":              {"api_key=x&api-key=x&API_KEY=x&apikey=x&access_token=x&Access-Token=x&oauth_token=x", ""},
		"a key by the provider's own name": {"x-acme-token=x&X_Acme_Token=y", ""},
		"who pays, at Google":              {"userProject=x&$userProject=y&alt=sse", "alt=sse"},
		"a key with a dollar":              {"$key=x&%24access_token=y", ""},
		"another method":                   {"_method=DELETE&x-http-method-override=DELETE", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			q, err := url.ParseQuery(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			Request(http.Header{}, q, []string{"X-Acme-Token"})
			if diff := cmp.Diff(tt.want, q.Encode()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestResponse(t *testing.T) {
	h := http.Header{
		"Content-Type": {"text/event-stream"}, "Request-Id": {"req_1"}, "Retry-After": {"3"}, "Www-Authenticate": {"Bearer"},
		"Anthropic-Ratelimit-Requests-Remaining": {"1"},
		"Set-Cookie":                             {"a=b", "c=d"}, "set_cookie": {"e=f"}, "Alt-Svc": {`h3=":443"`}, "Strict-Transport-Security": {"max-age=1"},
		"Connection": {"close, X-Hop"}, "X-Hop": {"1"}, "Keep-Alive": {"1"}, "Upgrade": {"h2c"}, "Transfer-Encoding": {"chunked"},
		"Sandkeep-Failure-Class": {"Forged"}, "sandkeep-failure-message": {"Forged"}, "Proxy-Authenticate": {"Basic"},
	}
	want := http.Header{
		"Content-Type": {"text/event-stream"}, "Request-Id": {"req_1"}, "Retry-After": {"3"}, "Www-Authenticate": {"Bearer"},
		"Anthropic-Ratelimit-Requests-Remaining": {"1"},
	}
	Response(h)
	if diff := cmp.Diff(want, h); diff != "" {
		t.Error(diff)
	}
}

func TestEncoded(t *testing.T) {
	tests := map[string]struct {
		in   http.Header
		want bool
	}{
		"without a word of it":      {http.Header{}, false},
		"identity":                  {http.Header{"Content-Encoding": {"identity"}}, false},
		"empty":                     {http.Header{"Content-Encoding": {""}}, false},
		"gzip":                      {http.Header{"Content-Encoding": {"gzip"}}, true},
		"gzip behind identity":      {http.Header{"Content-Encoding": {"identity, GZIP"}}, true},
		"br in another header line": {http.Header{"Content-Encoding": {"identity", "br"}}, true},
		"a compressed WebSocket":    {http.Header{"Sec-Websocket-Extensions": {"permessage-deflate"}}, true},
		"gzip in another spelling":  {http.Header{"content_encoding": {"gzip"}}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Encoded(tt.in); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// FuzzRequest holds what is left of any header to the names that a server could take for a credential.
func FuzzRequest(f *testing.F) {
	f.Add("Authorization", "x", "Connection", "close")
	f.Add("x_api_key ", "x", "CONNECTION", "anthropic-version, x")
	f.Fuzz(func(t *testing.T, name, value, other, otherValue string) {
		h := http.Header{name: {value}}
		h[other] = append(h[other], otherValue)
		q := url.Values{name: {value}, other: {otherValue}}
		Request(h, q, nil)
		for left := range h {
			canonical := http.CanonicalHeaderKey(strings.ReplaceAll(strings.TrimSpace(left), "_", "-"))
			switch canonical {
			case "Authorization", "X-Api-Key", "X-Goog-Api-Key", "Api-Key", "Cookie", "Connection", "Upgrade", "Forwarded", "Via",
				"Openai-Organization", "Openai-Project", "X-Goog-User-Project":
				t.Errorf("%q stays", left)
			}
			if strings.HasPrefix(canonical, "Proxy-") || strings.HasPrefix(canonical, "X-Forwarded-") || strings.HasPrefix(canonical, "Sandkeep-") {
				t.Errorf("%q stays", left)
			}
		}
		for left := range q {
			if strings.EqualFold(strings.TrimSpace(left), "key") || strings.EqualFold(left, "api_key") {
				t.Errorf("?%s stays", left)
			}
		}
		if len(h["Accept-Encoding"]) != 1 || h["Accept-Encoding"][0] != "identity" {
			t.Errorf("%v", h["Accept-Encoding"])
		}
	})
}

func BenchmarkRequest(b *testing.B) {
	b.ReportAllocs()
	in := http.Header{"Anthropic-Version": {"2023-06-01"}, "Anthropic-Beta": {"a,b", "c"}, "User-Agent": {"x"}, "Content-Type": {"application/json"}, "X-Api-Key": {"x"}, "Accept": {"*/*"}, "Connection": {"keep-alive"}}
	for b.Loop() {
		Request(in.Clone(), url.Values{"beta": {"true"}}, []string{"X-Api-Key"})
	}
}
