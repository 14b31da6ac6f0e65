// The types of ringway.js.
export declare const SUBPROTOCOL: "ringway.v1.json";
