package main

// What goes into the images, pinned in one place. The Dockerfile at the top of the checkout repeats these values for
// people with Docker, and a test keeps the two in step.

const (
	// platformOS and platformArch are the one platform that is built. arm64 needs the other platform packages of the
	// agents and a machine that can run arm64 binaries while Debian is installed.
	platformOS   = "linux"
	platformArch = "amd64"

	// debianSuite is the Debian release under the agents' images.
	debianSuite = "bookworm"

	// agentName, agentID and agentHome are the user of the agents' images; the operator runs sandboxes with the same uid.
	agentName = "agent"
	agentID   = 10001
	agentHome = "/home/agent"

	// workspacePath is where the operator mounts the workspace, and the working directory of the agents' images.
	workspacePath = "/workspace"

	// operatorName and operatorID are the user of the Sandkeep image.
	operatorName = "nonroot"
	operatorID   = 65532
)

// debianPackages are installed on top of Debian's minimal base, without recommended packages. python3 is the full
// standard library: python3-minimal has no json module, which most scripts want.
var debianPackages = []string{
	"bash",
	"ca-certificates",
	"coreutils",
	"curl",
	"git",
	"jq",
	"make",
	"python3",
	"ripgrep",
}

// npmPackage is one pinned package. The integrity is what the registry publishes for the version (Subresource Integrity,
// sha512), so a mirror cannot hand out anything else.
type npmPackage struct {
	name      string
	version   string
	integrity string
}

var (
	// openCode is the agent of the default image, one self-contained binary.
	openCode = npmPackage{
		name:      "opencode-linux-x64",
		version:   "1.18.33",
		integrity: "sha512-q/t/3p2CTxOT9y2kvjesb/LZab2+1eqlhhWA02Be6mjTtmYtNBcBsrI5yDo4Fw7ZSPBW2oyMIGMNRqiKQjiAWw==",
	}

	// openCodeLicense carries the licence text that must go with the binary and that the platform package leaves out.
	openCodeLicense = npmPackage{
		name:      "opencode-ai",
		version:   "1.18.33",
		integrity: "sha512-58P1ffLRXiAY4QeoABqUjqf6DEzm1ihpovvn9Ad+oOLbLiwK/rf88wruT9IATJ7AtNjmi8iA7pC8tN4o5y799Q==",
	}

	// claudeCode is proprietary: its image is for tests on the machine that built it and is never pushed.
	claudeCode = npmPackage{
		name:      "@anthropic-ai/claude-code-linux-x64",
		version:   "2.1.330",
		integrity: "sha512-9Gn+V7DtJ8M1nztP9CeDVl9g3RtrepI7rOFTyPRRnZe8D6zebIHKmC7OvBauucuAP0X0k85SDN/LPVZyjsGezQ==",
	}

	// openCodeFiles and claudeCodeFiles are what an image takes from the packages, the program first.
	openCodeFiles = []npmFile{
		{openCode, "bin/opencode", "/usr/local/bin/opencode", 0o755},
		{openCodeLicense, "LICENSE", "/usr/share/doc/opencode/copyright", 0o644},
	}
	claudeCodeFiles = []npmFile{
		{claudeCode, "claude", "/usr/local/bin/claude", 0o755},
		{claudeCode, "LICENSE.md", "/usr/share/doc/claude-code/copyright", 0o644},
	}
)
