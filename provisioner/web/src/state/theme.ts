/** Dark or light: the system's choice until the user makes one; kept by the browser. */
import { useCallback, useEffect, useState } from "react";

export type Theme = "dark" | "light";

function stored(): Theme | null {
  const value = localStorage.getItem("weft-theme");
  return value === "dark" || value === "light" ? value : null;
}

export function useTheme(): [Theme, () => void] {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const [theme, setTheme] = useState<Theme>(() => stored() ?? (dark.matches ? "dark" : "light"));
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    document.dispatchEvent(new Event("weft-theme"));
  }, [theme]);
  const toggle = useCallback(() => {
    setTheme((now) => {
      const next = now === "dark" ? "light" : "dark";
      localStorage.setItem("weft-theme", next);
      return next;
    });
  }, []);
  return [theme, toggle];
}
