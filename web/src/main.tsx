import { render } from "preact";
import "./style/page.css";
import { takeKeyFromLink } from "./state/key";
import { App } from "./view/App";

takeKeyFromLink();
const root = document.querySelector<HTMLMetaElement>('meta[name="api-root"]')?.content ?? "";
render(<App root={root} />, document.getElementById("app")!);
