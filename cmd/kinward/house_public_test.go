package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// TestPublicNameSamples: the samples of a home with a public name load, are what
// their comments say, and start commands that exist.
func TestPublicNameSamples(t *testing.T) {
	const folder = "deploy/public-name/"
	c, err := loadConfig(top+"/"+folder+"kinward.yaml", (&cobra.Command{}).Flags(), []string{"KINWARD_DATA=/data"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.resolve()
	if err != nil {
		t.Fatal(err)
	}
	if s.certs == nil || s.certs.ACME == nil || s.zone.Name.String() != "dns.example.org" || !slices.Equal(s.zone.Issuers, []string{letsEncryptCAA}) {
		t.Errorf("the sample orders %+v for zone %+v", s.certs, s.zone)
	}
	var compose struct {
		Services map[string]struct {
			Command     []string
			Environment map[string]string
			Volumes     []string
			Ports       []string
		}
	}
	if err := yaml.Unmarshal([]byte(readFile(t, folder+"compose.yaml")), &compose); err != nil {
		t.Fatal(err)
	}
	service := compose.Services["kinward"]
	checkCommandLine(t, service.Command)
	var env []string
	for k, v := range service.Environment {
		env = append(env, k+"="+v)
	}
	inside, err := loadConfig(top+"/"+folder+"kinward.yaml", (&cobra.Command{}).Flags(), append(env, "KINWARD_DATA=/data"))
	if err != nil {
		t.Fatalf("the container's configuration: %v", err)
	}
	for _, network := range []string{"udp", "tcp"} {
		if _, port, _ := strings.Cut(inside.DNS[0], ":"); !slices.Contains(service.Ports, "53:"+port+"/"+network) {
			t.Errorf("port 53/%s does not lead to %s", network, inside.DNS[0])
		}
	}
	if len(c.DoT) == 0 || len(c.DoH) == 0 {
		t.Errorf("phones ask nobody: dot is %q, doh is %q", c.DoT, c.DoH)
	}
	for outer, listen := range map[string][]string{"853": inside.DoT, "443": inside.DoH} {
		if _, port, _ := strings.Cut(listen[0], ":"); !slices.Contains(service.Ports, outer+":"+port+"/tcp") {
			t.Errorf("port %s/tcp does not lead to %s", outer, listen[0])
		}
	}
	mounts := strings.Join(service.Volumes, "\n")
	for _, want := range []string{service.Command[len(service.Command)-1], inside.Data} {
		if !strings.Contains(mounts, ":"+want) {
			t.Errorf("nothing is mounted at %s", want)
		}
	}
	dropIn := readFile(t, folder+"kinward.conf")
	for _, m := range regexp.MustCompile(`(?m)^LoadCredential=(\w+):`).FindAllStringSubmatch(dropIn, -1) {
		if !strings.Contains(dropIn, "/run/credentials/kinward.service/"+m[1]) {
			t.Errorf("the drop-in hands over %s, and its comment does not use it", m[1])
		}
	}
	block := strings.ReplaceAll(regexp.MustCompile(`(?ms)^#   tls:\n(#     .*?\n)+`).FindString(dropIn), "#   ", "")
	if err := checkYAML("kinward.conf", []byte(block)); err != nil || block == "" {
		t.Errorf("the drop-in's configuration: %v\n%s", err, block)
	}
}
