package alerts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"kinward/policy"
)

type ntfy struct {
	client *http.Client
	agent  string
	link   string
}

// NewNtfy returns what publishes to ntfy servers. link is where a tap leads; ""
// is nowhere.
func NewNtfy(allowPrivate bool, agent, link string) Sender {
	return ntfy{newHTTP(allowPrivate), agent, link}
}

var topics = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[-_A-Za-z0-9]{1,64}$`) }) // as ntfy has them

// NewTopic makes a channel to a topic of an ntfy server, as https://ntfy.example/topic.
// token is an access token; "" is none. priority is 1 to 5; 0 is the server's.
func NewTopic(to, token string, priority int, allowPrivate bool) (Channel, error) {
	u, err := checkURL(to, allowPrivate)
	if err != nil {
		return Channel{}, fmt.Errorf("reading the topic's address: %w", err)
	}
	topic := strings.Trim(u.Path, "/")
	switch {
	case !topics().MatchString(topic):
		return Channel{}, errors.New("reading the topic's address: give the server and one topic, of up to 64 letters, digits, - and _, like https://ntfy.example.org/a-topic-that-nobody-guesses")
	case u.User != nil || u.RawQuery != "":
		return Channel{}, errors.New("reading the topic's address: give an access token by --token-file instead of what stands before @ or after ?")
	case priority < 0 || priority > 5:
		return Channel{}, fmt.Errorf("priority: %d is not between 1 and 5", priority)
	case strings.ContainsAny(token, "\r\n "):
		return Channel{}, errors.New("the access token has a space or line break in it")
	}
	u.Path = "/"
	return Channel{Kind: Ntfy, Settings: Settings{To: u.Host, Priority: priority}, Secret: Secret{url: u.String(), topic: topic, token: token}}, nil
}

func (n ntfy) Send(ctx context.Context, c Channel, m Message) (string, error) {
	// Published as JSON, since headers hold no text beyond ASCII reliably.
	body, err := json.Marshal(struct {
		Topic    string `json:"topic"`
		Title    string `json:"title"`
		Message  string `json:"message"`
		Priority int    `json:"priority,omitempty"`
		Click    string `json:"click,omitempty"`
	}{c.Secret.topic, m.Letter.Subject, policy.Clip(m.Letter.Short, 1000), c.Settings.Priority, n.link})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Secret.url, bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("publishing to ntfy: its address cannot be read")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", n.agent)
	req.Header.Set(HeaderKey, m.ID)
	if c.Secret.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Secret.token)
	}
	said, err := answered(n.client.Do(req))
	if err != nil {
		return said, fmt.Errorf("publishing to ntfy at %s: %w", c.Settings.To, err)
	}
	return said, nil
}
