import java.lang.reflect.Method;

/**
 * Calls the main method of one of Kafka's own tools again and again in one JVM, as a topic has an
 * end and its consumer reads it once: so many times, or (0) until so many seconds are over. A "#" in
 * an argument becomes the number of the pass and of the process.
 */
class Passes {
    public static void main(String[] words) throws Exception {
        Method tool = Class.forName(words[0]).getMethod("main", String[].class);
        long passes = Long.parseLong(words[1]);
        long until = System.nanoTime() + (long) (Double.parseDouble(words[2]) * 1e9);
        for (long pass = 0; passes > 0 ? pass < passes : System.nanoTime() < until; pass++) {
            String[] args = new String[words.length - 3];
            for (int i = 0; i < args.length; i++) {
                args[i] = words[i + 3].replace("#", ProcessHandle.current().pid() + "-" + pass);
            }
            tool.invoke(null, (Object) args);
        }
    }
}
