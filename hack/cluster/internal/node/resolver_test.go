package node

import (
	"errors"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
)

func TestChooseResolvers(t *testing.T) {
	const own, systemd, manager = "/etc/resolv.conf", "/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf"
	tests := map[string]struct {
		files map[string]string
		want  string // as printed
	}{
		"those of the machine": {map[string]string{own: "search example.com\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n"},
			"[192.0.2.53 192.0.2.54]"},
		"comments and options say nothing": {map[string]string{own: "# nameserver 192.0.2.1\n;nameserver 192.0.2.2\noptions edns0\nnameserver 192.0.2.53"},
			"[192.0.2.53]"},
		"no more than a program on the machine would use, and none twice": {
			map[string]string{own: "nameserver 192.0.2.1\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n"},
			"[192.0.2.1 192.0.2.2 192.0.2.3]"},
		"IPv6, loopback, nothing and nonsense are no use": {
			map[string]string{own: "nameserver 2001:db8::53\nnameserver 127.0.0.1\nnameserver 0.0.0.0\nnameserver fe80::1%eth0\nnameserver\nnameserver x\nnameserver 192.0.2.53\n"},
			"[192.0.2.53]"},
		"systemd-resolved asks others": {map[string]string{own: "nameserver 127.0.0.53\n", systemd: "nameserver 192.0.2.53\n"},
			"[192.0.2.53]"},
		"NetworkManager's dnsmasq asks others": {map[string]string{own: "nameserver 127.0.0.1\n", manager: "nameserver 192.0.2.53\n"},
			"[192.0.2.53]"},
		"a file of systemd does not outweigh the machine's own": {
			map[string]string{own: "nameserver 192.0.2.53\n", systemd: "nameserver 192.0.2.99\n"}, "[192.0.2.53]"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := chooseResolvers(reader(test.files))
			if err != nil || join(got) != test.want {
				t.Errorf("got %s and error %v, want %s", join(got), err, test.want)
			}
		})
	}
}

func TestWithoutResolversTheMessageSaysWhatToDo(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no file":             nil,
		"only a loopback one": {"/etc/resolv.conf": "nameserver 127.0.0.1\n"},
		"no upstream either":  {"/etc/resolv.conf": "nameserver 127.0.0.53\n", "/run/systemd/resolve/resolv.conf": "# none\n"},
	} {
		_, err := chooseResolvers(reader(files))
		if err == nil || !strings.Contains(err.Error(), `"nameserver <address>"`) || !strings.Contains(err.Error(), "to /etc/resolv.conf") {
			t.Errorf("%s: error %v does not say what to do", name, err)
		}
	}
}

func TestUnreadableResolversAreAnError(t *testing.T) {
	broken := errors.New("broken")
	if _, err := chooseResolvers(func(string) ([]byte, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("error is %v", err)
	}
}

func reader(files map[string]string) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		content, found := files[path]
		if !found {
			return nil, fs.ErrNotExist
		}
		return []byte(content), nil
	}
}

func join(list []netip.Addr) string {
	texts := make([]string, 0, len(list))
	for _, a := range list {
		texts = append(texts, a.String())
	}
	return "[" + strings.Join(texts, " ") + "]"
}
