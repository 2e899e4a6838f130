package main

import (
	"context"
	"errors"
	"fmt"

	"kinward/certs"
	"kinward/setup"
)

// appleRequest asks for the profile that sets an Apple device up.
type appleRequest struct {
	about
	Device string `json:"device"` // its name or a clue
}

// appleReply is the profile. It holds the device's secret.
type appleReply struct {
	Device  string `json:"device"`
	Profile []byte `json:"profile"`
	Signed  bool   `json:"signed"` // with the server's certificate
}

// signing is an Apple profile that the server's certificate is to sign.
type signing struct {
	Profile []byte `json:"profile"`
	Signed  bool   `json:"signed"` // in a reply; else Profile is as it was
}

var (
	opDeviceApple = operation[appleRequest, appleReply]{"devices-apple", deviceApple}
	// opDeviceSign signs where the key is: one that was ordered by ACME never leaves
	// the server. What it is given it signs, whatever that says, so it is for the
	// command line alone.
	opDeviceSign = operation[signing, signing]{"devices-sign", deviceSign}
)

// deviceApple makes the profile of a device that was set up already. It makes no
// name: looking changes nothing.
func deviceApple(ctx context.Context, n *node, req appleRequest, p progress) (appleReply, error) {
	look := change[setupRequest]{about: req.about, Do: setupRequest{Device: req.Device, Platform: "iphone", Look: true}}
	r, err := deviceSetup(ctx, n, look, p)
	switch {
	case err != nil:
		return appleReply{}, err
	case req.Device == "":
		return appleReply{}, usageError(errors.New("an Apple profile is a device's; name one"))
	case r.Missing:
		return appleReply{}, &codedError{exitNothing, fmt.Errorf("%s has no private-DNS name yet; set it up first", r.Values.Name)}
	}
	made, err := setup.MobileConfig(r.Values, setup.Profile{})
	if err != nil {
		return appleReply{}, err
	}
	signed, err := deviceSign(ctx, n, signing{Profile: made}, p)
	return appleReply{r.Values.Name, signed.Profile, signed.Signed}, err
}

func deviceSign(_ context.Context, n *node, req signing, _ progress) (signing, error) {
	if n.serving == nil || n.serving.keeper == nil || n.serving.keeper.Status().Source == "self-signed" {
		return req, nil
	}
	pair, err := n.serving.keeper.GetCertificate(nil)
	if errors.Is(err, certs.ErrNone) {
		return req, nil
	}
	if err != nil {
		return req, err
	}
	req.Profile, err = signWith(req.Profile, pair)
	req.Signed = err == nil
	return req, err
}
