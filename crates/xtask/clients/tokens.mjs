// Tokens made by `jose`, in all algorithms, against the gateway.
//
// `tokens.mjs keys DIR` makes keys and a configuration with them in DIR; `tokens.mjs check DIR URL`
// asks the gateway that runs with it. Exits with 1 at a mismatch. Never connects to anything but URL.

import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { SignJWT, UnsecuredJWT, exportJWK, exportPKCS8, generateKeyPair, importPKCS8 } from "jose";

const ISSUER = "https://jose.example/";
const ALGORITHMS = ["HS256", "RS256", "PS256", "ES256", "EdDSA"];

async function makeKeys(folder) {
  mkdirSync(folder, { recursive: true });
  const path = (name) => join(folder, name);
  writeFileSync(path("secret"), randomBytes(32).toString("hex"));
  const keys = [];
  for (const algorithm of ALGORITHMS.filter((name) => name !== "HS256")) {
    const { publicKey, privateKey } = await generateKeyPair(algorithm, { extractable: true });
    // Each key says which algorithm it is for (RFC 7517 §4.4).
    const jwk = await exportJWK(publicKey);
    keys.push({ ...jwk, kid: algorithm, alg: algorithm, use: "sig" });
    writeFileSync(path(`${algorithm}.pem`), await exportPKCS8(privateKey));
  }
  writeFileSync(path("keys.jwks.json"), JSON.stringify({ keys }));
  const tables = [
    ["RS256", "PS256"],
    ["ES256"],
    ["EdDSA"],
  ].map((names) => `[[auth.key]]\nalgorithms = ${JSON.stringify(names)}
jwks_file = "${path("keys.jwks.json")}"\n`);
  const secret = `[[auth.key]]\nalgorithms = ["HS256"]\nsecret_file = "${path("secret")}"\n`;
  writeFileSync(
    path("ringway.toml"),
    `[auth]\nissuer = "${ISSUER}"\n\n${[secret, ...tables].join("\n")}`,
  );
}

async function poll(url, token) {
  const response = await fetch(new URL("/poll?wait=0&topic=news", url), {
    headers: { Authorization: `Bearer ${token}` },
  });
  const { code } = await response.json();
  return `${response.status} ${code ?? ""}`.trim();
}

async function check(folder, url) {
  let checks = 0;
  const expect = async (what, token, wanted) => {
    const found = await poll(url, token);
    if (found !== wanted) throw new Error(`${what}: expected ${wanted}, got ${found}`);
    checks += 1;
  };
  const claims = (more) => ({ ringway: { subscribe: ["news"], meta: { by: "jose" } }, ...more });
  for (const algorithm of ALGORITHMS) {
    const file = (name) => readFileSync(join(folder, name), "utf8");
    const key =
      algorithm === "HS256"
        ? new TextEncoder().encode(file("secret"))
        : await importPKCS8(file(`${algorithm}.pem`), algorithm);
    const header = algorithm === "HS256" ? {} : { kid: algorithm };
    const made = (expires, more) =>
      new SignJWT(claims(more))
        .setProtectedHeader({ alg: algorithm, typ: "JWT", ...header })
        .setSubject("ann")
        .setIssuer(ISSUER)
        .setIssuedAt()
        .setExpirationTime(expires)
        .sign(key);
    const good = await made("1m");
    await expect(`${algorithm}, a good token`, good, "200");
    await expect(`${algorithm}, expired`, await made(1_000_000_000), "401 token_expired");
    const forTomorrow = await made("2d", { nbf: Math.floor(Date.now() / 1000) + 86_400 });
    await expect(`${algorithm}, for tomorrow`, forTomorrow, "401 token_invalid");
    const [head, , signature] = good.split(".");
    const [, payload] = (await made("1m", { x: 1 })).split(".");
    await expect(`${algorithm}, other claims`, `${head}.${payload}.${signature}`, "401 token_invalid");
  }
  const unsecured = new UnsecuredJWT(claims()).setSubject("ann").setIssuer(ISSUER);
  await expect("none", unsecured.setExpirationTime("1m").encode(), "401 token_invalid");
  console.log(`jose: ${checks} checks, ${ALGORITHMS.length} algorithms`);
}

const [command, folder, url] = process.argv.slice(2);
try {
  if (command === "keys") await makeKeys(folder);
  else if (command === "check") await check(folder, url);
  else throw new Error("usage: node tokens.mjs keys DIR | check DIR http://HOST:PORT/");
} catch (error) {
  console.error(`jose: FAILED ${error.message}`);
  process.exitCode = 1;
}
