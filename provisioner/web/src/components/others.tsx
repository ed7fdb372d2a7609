/** Where else the same is shown, where several appliances hold it: offered while this one does not answer. */
import { useEffect, useState } from "react";
import { api } from "../api/client";
import { elsewhere } from "../lib/others";
import { useStore } from "../state/store";

const LOOK_MS = 60_000;

export function Others() {
  const { problem } = useStore();
  const away = problem !== null;
  const [urls, setUrls] = useState<string[]>([]);
  useEffect(() => {
    if (away) return;
    const look = () => {
      // What was known stays.
      api.appliances().then((all) => setUrls(elsewhere(all, location.origin)), () => undefined);
    };
    look();
    const timer = setInterval(look, LOOK_MS);
    return () => clearInterval(timer);
  }, [away]);
  if (!away || urls.length === 0) return null;
  return (
    <p>
      The same is at{" "}
      {urls.map((url, place) => (
        <span key={url}>
          {place > 0 && ", "}
          <a href={url + location.pathname + location.hash}>{url}</a>
        </span>
      ))}
      .
    </p>
  );
}
